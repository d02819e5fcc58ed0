"""Transcripts: streams somebody saved to a file.

A `.sse` file is a stream's body, byte for byte. A `.jsonl` file has one event per line: either fal's
event itself (`{"type": "submit", …}`), or a wrapper with a time, `{"at": seconds, "data": event}`,
in the manner of a saved log. Lines that cannot be read as such become `unrecognised` events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from recorder import sse
from recorder.errors import BadTranscript

SUFFIXES: Final = (".sse", ".jsonl")
_CHUNK_BYTES: Final = 1024 * 1024


class Piece(msgspec.Struct, frozen=True):
    """A piece of a transcript.

    Attributes:
        chunk: Bytes of the body.
        elapsed_us: When they came, from the run's start; None where the file does not say.
    """

    chunk: bytes
    elapsed_us: int | None = None


def read(path: Path) -> Iterator[Piece]:
    """The pieces of a transcript, in order.

    Raises:
        BadTranscript: No such file, or neither `.sse` nor `.jsonl`.
    """
    if path.suffix not in SUFFIXES:
        raise BadTranscript(str(path), f"a transcript ends in {' or '.join(SUFFIXES)}")
    try:
        with path.open("rb") as file:
            if path.suffix == ".sse":
                while chunk := file.read(_CHUNK_BYTES):
                    yield Piece(chunk)
            else:
                yield from (_piece(line) for line in file if line.strip())
    except OSError as error:
        raise BadTranscript(str(path), (error.strerror or "cannot be read").lower()) from None


def _piece(line: bytes) -> Piece:
    # Editors on Windows put a byte order mark first; no JSON text begins with one.
    text = line.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    try:
        value = json.loads(text)
        if isinstance(value, dict) and "type" not in value and "data" in value:
            return Piece(sse.encode(_payload(value["data"])), _elapsed_us(value.get("at")))
    except (ValueError, RecursionError):
        pass
    return Piece(sse.encode(text))


def _payload(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data)


def _elapsed_us(at: object) -> int | None:
    if isinstance(at, bool) or not isinstance(at, int | float):
        return None
    if not 0 <= at < 1e9:  # false for NaN as well
        return None
    return round(at * 1_000_000)
