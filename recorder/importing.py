"""Importing transcripts: a stream somebody saved becomes a run of the log."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from recorder.clock import SystemClock
from recorder.errors import BadTranscript
from recorder.events import Opened, lift
from recorder.recording import Recording
from recorder.sources import transcript
from recorder.store.log import EventLog
from recorder.writer import LogWriter


class Imported(msgspec.Struct, frozen=True):
    """What came of a file: its run, and whether that run was in the log already."""

    path: str
    request_id: str
    already_there: bool


class _ToldClock:
    """A clock that stands where the transcript says."""

    def __init__(self) -> None:
        self._start_us = SystemClock().now_us()
        self.elapsed_us = 0

    def now_us(self) -> int:
        return self._start_us + self.elapsed_us

    def monotonic_us(self) -> int:
        return self.elapsed_us


def import_transcript(
    log: EventLog,
    writer: LogWriter,
    path: Path,
    *,
    workflow: str = "",
    request_id: str | None = None,
) -> Imported:
    """Records a transcript as a closed run; durable on return.

    Idempotent: without a request id of the caller's the run is named by the file's content, and a run
    that is in the log already is left as it is.

    Raises:
        BadTranscript: The file cannot be read as one.
        LogError: The log refused.
    """
    pieces = list(transcript.read(path))
    if not pieces:
        raise BadTranscript(str(path), "is empty")
    request_id = lift(request_id) or _name(pieces)
    if log.read_run(request_id, limit=1):
        return Imported(str(path), request_id, already_there=True)
    clock = _ToldClock()
    recording = Recording(writer, clock=clock)
    recording.open(
        Opened(
            # A command line may bring bytes that are no UTF-8.
            workflow=workflow.encode("utf-8", "replace").decode(),
            source="transcript",
            upstream_request_id=request_id,
            timed=any(piece.elapsed_us is not None for piece in pieces),
        )
    )
    for piece in pieces:
        clock.elapsed_us = max(clock.elapsed_us, piece.elapsed_us or 0)
        recording.take(piece.chunk)
    recording.close("eof")
    recording.wait()
    return Imported(str(path), recording.request_id or request_id, already_there=False)


def _name(pieces: list[transcript.Piece]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(f"{piece.elapsed_us}:{len(piece.chunk)}:".encode())
        digest.update(piece.chunk)
    return f"transcript-{digest.hexdigest()[:32]}"
