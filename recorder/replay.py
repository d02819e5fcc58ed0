"""Replay: a recorded run played again, in the words and at the pace of the original.

Pure: what is written for an event, how long to wait before it, and how the whole ends. Whoever plays
brings the clock and the reader.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from recorder import sse
from recorder.documents import Closed, Opened
from recorder.errors import BadQuery
from recorder.events import OWN_TYPES, LoggedEvent
from recorder.recording import body_part

MAX_SPEED: Final = 1_000_000.0
MIN_SPEED: Final = 0.001
_DATA: Final = b"data: "


class Pace(msgspec.Struct, frozen=True):
    """How fast a run is played.

    Attributes:
        speed: 1 for the original rhythm, 2 for twice as fast; None for as fast as it goes.
        max_gap_us: A longer wait of the original is cut to this, before the speed is applied.
    """

    speed: float | None = 1.0
    max_gap_us: int | None = None

    def wait_us(self, before_us: int, elapsed_us: int) -> int:
        """How long to wait between two events of the original; 0 where time went back."""
        if self.speed is None:
            return 0
        gap_us = max(0, elapsed_us - before_us)
        if self.max_gap_us is not None:
            gap_us = min(gap_us, self.max_gap_us)
        return round(gap_us / self.speed)


def read_speed(text: str) -> float | None:
    """A speed as a user writes it: a number, or `max`, which is None.

    Raises:
        BadQuery: It is neither, or out of range.
    """
    if text == "max":
        return None
    try:
        speed = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) else 0.0
    except ValueError:
        speed = 0.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise BadQuery("speed", f"is max, or a number from {MIN_SPEED:g} to {MAX_SPEED:g}")
    return speed


def well_formed(logged: LoggedEvent) -> bytes:
    """An event as a well-formed block: `id` is its seq, lines end in LF.

    What is no event of the stream's is nothing; what is missing is a comment that says so.
    """
    frame = logged.frame
    if logged.type == "gap":
        return sse.comment("events are missing here: there was no room to keep them")
    if logged.type in OWN_TYPES:
        return b""
    if frame is None:
        return sse.comment(f"the frame of event {logged.seq} has been erased")
    lines = frame.splitlines()
    if len(lines) == 2 and lines[0].startswith(_DATA) and not lines[1] and _is_utf8(frame):
        return b"id: %d\n%s\n\n" % (logged.seq, lines[0])  # nearly all; several times faster
    if logged.type == "answer":
        return sse.encode(frame.decode("utf-8", "replace"), id=str(logged.seq))
    found = sse.Decoder(max_frame_bytes=len(frame) + 1, strip_bom=logged.seq <= 1).feed(frame)
    if not found:
        return b""
    event = None if found[-1].event == "message" else found[-1].event
    return sse.encode(found[-1].data, event=event, id=str(logged.seq))


def _is_utf8(frame: bytes) -> bool:
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


def raw(logged: LoggedEvent) -> bytes:
    """What an event adds to the exact body.

    Raises:
        LookupError: Bytes are missing here; see `recorder.recording.body_part`.
    """
    return body_part(logged)


def ended_whole(closed: Closed) -> bool:
    """Whether upstream's answer came to its own end; else a raw replay breaks off as it did."""
    if closed.reason == "client_gone":
        return closed.left_us is not None and closed.detail is None
    return closed.reason == "eof" or (closed.reason == "refused" and ", then " not in _said(closed))


def _said(closed: Closed) -> str:
    return closed.detail or ""


def answer_headers(opened: Opened) -> list[tuple[bytes, bytes]]:
    """The headers a raw replay answers with: the content type, and what fal itself says."""
    kept = {
        name: value
        for name, value in opened.response_headers.items()
        if name in ("content-type", "content-encoding", "retry-after") or name.startswith("x-fal-")
    }
    if not opened.response_headers:
        kept["content-type"] = "text/event-stream"
    if opened.upstream_request_id is not None:
        kept.setdefault("x-fal-request-id", opened.upstream_request_id)
    return [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in kept.items()
    ]
