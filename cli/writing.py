"""Writing files and bytes that a command makes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from cli.errors import CliError
from cli.output import write_bytes

STDOUT = "-"


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there once it is whole, and not before.

    Raises:
        CliError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise CliError(
            f"--output: {path}: {(error.strerror or 'cannot be written').lower()}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_out(output: str, pieces: Iterable[bytes]) -> None:
    """Writes pieces into a file, or to stdout where the name is `-`."""
    if output == STDOUT:
        for piece in pieces:
            write_bytes(piece)
        return
    with appearing(Path(output)) as file:
        for piece in pieces:
            file.write(piece)
