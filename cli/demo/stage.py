"""What both demos stand on: a database, a port, headings, and serving until Ctrl-C."""

from __future__ import annotations

import socket
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from cli import options
from cli.output import out
from cli.text import plain
from recorder.bootstrap import Recorder


def temporary_database(stack: ExitStack, *, keep: bool) -> str:
    """The URL of a database in a temporary folder, which goes with the stack unless it is kept."""
    if keep:
        folder = tempfile.mkdtemp(prefix="recorder-demo-")
    else:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recorder-demo-"))
    return f"sqlite:///{Path(folder) / 'runs.db'}"


def free_port(wanted: int | None) -> int:
    """The port to serve on; 0 for any."""
    if wanted is not None:
        return wanted
    try:
        with socket.create_server(("127.0.0.1", options.SERVICE_PORT)):
            return options.SERVICE_PORT
    except OSError:
        return 0


def heading(words: str) -> list[RenderableType]:
    """A line across the terminal, and air around it."""
    width = min(out().width, 100)
    return ["", Text(f"── {words} ".ljust(width, "─"), style="bold cyan"), ""]


def tell(name: str, value: str) -> None:
    """One fact, by name."""
    out().print(Text.assemble((f"{name:<10}", "dim"), plain(value)), soft_wrap=True)


def serve_on(recorder: Recorder, service_url: str) -> None:
    """Says where the service is, and waits for Ctrl-C."""
    out().print(f"Serving {service_url} until Ctrl-C. In another terminal:", soft_wrap=True)
    out().print(f"  recorder runs --db {options.where(recorder)}", soft_wrap=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        out().print("")
