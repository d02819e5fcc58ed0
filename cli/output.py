"""The two streams of a command: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL: Final = 120
_PIECE: Final = 32_768
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


class StdoutClosed(Exception):
    """Whoever read our output has gone, as `head` does."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit with 1 from within; `cli.main` decides.
        raise StdoutClosed


def out() -> Console:
    """Results, for people. A pipe gets no colours and is not cut to 80 columns."""
    return _console(stderr=False)


def err() -> Console:
    """Progress and remarks."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console


def show(*renderables: RenderableType) -> None:
    """Prints to stdout."""
    console = out()
    for renderable in renderables:
        console.print(renderable)


def write_bytes(data: bytes) -> None:
    """Writes to stdout as it is, at once."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise StdoutClosed from None


def note(remark: str) -> None:
    """Prints a remark to stderr; lines are left to the terminal to break, so they can be copied."""
    err().print(remark, soft_wrap=True)


def write_json(value: object, *, indent: int | None = 2) -> None:
    """Writes one JSON document and a line end to stdout.

    ASCII only, so it is the same in every locale and can hold nothing a terminal would obey; a
    document given twice is the same bytes twice.
    """
    write_json_text(json.dumps(value, indent=indent, allow_nan=False))


def write_json_text(text: str) -> None:
    """Writes a JSON document that is text already, number for number as it stands; see `write_json`."""
    text = _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text).replace(
        "\x7f", "\\u007f"
    )
    text += "\n"
    try:
        # In pieces: an unbuffered stdout (PYTHONUNBUFFERED) keeps quiet about what the last write
        # could not bring out, and only the next one fails.
        for start in range(0, len(text) + 1, _PIECE):
            sys.stdout.write(text[start : start + _PIECE])
        sys.stdout.flush()
    except BrokenPipeError:
        raise StdoutClosed from None


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], Any]]:
    """A bar on stderr while it is a terminal; yields what to call with the number done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    console = err()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Elapsed(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
        bar.update(task, completed=total)
