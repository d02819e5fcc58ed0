"""The command's entry point: hands over to the commands, and turns every failure into one line."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer import Abort
from typer.exceptions import TyperException

from cli.commands import (
    columns,
    doctor,
    extracting,
    files,
    journal,
    listing,
    querying,
    record,
    replaying,
    report,
    servers,
    trial,
)
from cli.errors import CliError
from cli.output import StdoutClosed
from cli.text import plain
from recorder.errors import RecorderError

DONE: Final = 0
WRONG: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
"""128 + SIGPIPE, as a shell sees any program whose reader left."""

app = typer.Typer(
    name="recorder",
    help="The flight recorder of fal workflows: every run captured byte for byte, provable, "
    "replayable, measurable.",
    epilog="Exit codes: 0 done, 1 the run or check failed, 2 wrong usage or unreachable.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    record,
    replaying,
    listing,
    report,
    querying,
    files,
    extracting,
    journal,
    columns,
    doctor,
    servers,
    trial,
):
    module.register(app)


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code. Nothing is raised, and nothing but one line told."""
    _be_quiet()
    try:
        code = _run(args)
        sys.stdout.flush()
    except (StdoutClosed, BrokenPipeError):
        _forget_stdout()
        return PIPE_CLOSED
    return code


def _run(args: Sequence[str] | None) -> int:
    try:
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        result = app(args=given, prog_name="recorder", standalone_mode=False)
    except (StdoutClosed, BrokenPipeError):
        raise
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else WRONG
    except CliError as error:
        return _fail(str(error), error.code)
    except RecorderError as error:
        return _fail(str(error))
    except TyperException as error:
        return _fail(_usage(error))
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error}", hint=True)
    return result if isinstance(result, int) else DONE


def _usage(error: Any) -> str:
    message = str(error.format_message()).strip() or "wrong usage"
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message.rstrip('.')} (see {context.command_path} --help)"


def _fail(message: str, code: int = WRONG, *, hint: bool = False) -> int:
    """Says it in one line; the traceback only for whoever asks."""
    debug = _debugging()
    if debug:
        _say(_scrub(traceback.format_exc().rstrip()))
    ending = " (RECORDER_DEBUG=1 shows the traceback)" if hint and not debug else ""
    _say(f"recorder: {plain(_scrub(_one_line(message)))}{ending}")
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _one_line(message: str) -> str:
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def _scrub(text: str) -> str:
    """Takes out what other people's messages may quote: the key, passwords and tokens in URLs."""
    for secret in os.environ.get("FAL_KEY", "").split():
        if len(secret) > 3:
            text = text.replace(secret, "[redacted]")
    text = re.sub(r"(//[^/\s:@]*):[^/\s@]+@", r"\1:[redacted]@", text)
    return re.sub(r"(fal_jwt_token=)[^&\s'\"]+", r"\1[redacted]", text)


def _debugging() -> bool:
    return os.environ.get("RECORDER_DEBUG", "") not in ("", "0")


def _be_quiet() -> None:
    """A command tells its failures itself; log lines would only tell them again."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a locale without our characters is no failure
    log = logging.getLogger("recorder")
    if not _debugging() and not log.handlers:
        log.addHandler(logging.NullHandler())


def _forget_stdout() -> None:
    """Python flushes stdout once more at exit, which would complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


if __name__ == "__main__":
    sys.exit(main())
