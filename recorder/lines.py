r"""Events as lines of NDJSON: the form in which they are sent to a recorder service.

    {"request_id": "…", "seq": 1, "type": "submit", "frame": "data: …\n\n",
     "received_at": "2025-01-31T12:00:00.120417Z", "elapsed_us": 120417}

A line says where and when an event was received, and its bytes. What the bytes say is read here, by this
version's rules: of the type only that much is taken from the sender as the bytes cannot tell, and no
lifted id at all.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from recorder import redaction
from recorder.errors import BadQuery
from recorder.events import (
    OWN_TYPES,
    Event,
    EventType,
    LoggedEvent,
    NewEvent,
    lift,
    new_event,
)

MAX_LINES: Final = 10_000
"""Events in one body."""

MAX_SEQ: Final = 2**63 - 1
MAX_ELAPSED_US: Final = 2**53
"""285 years; the largest integer every JSON reader takes."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIELD: Final = re.compile(r"(?:field `|at `\$\.)([^`]{1,100})`")


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of a run that is named elsewhere; `api.ingest_models.EventLineModel` documents the fields."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
    type: EventType
    received_at: Annotated[datetime, msgspec.Meta(tz=True)]
    elapsed_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_ELAPSED_US)]
    frame: str | msgspec.UnsetType = msgspec.UNSET
    frame_base64: bytes | msgspec.UnsetType = msgspec.UNSET


class AddressedLine(Line, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event with the run it belongs to."""

    request_id: Annotated[str, msgspec.Meta(min_length=1)]


_decode_line: Final = msgspec.json.Decoder(Line).decode
_decode_addressed: Final = msgspec.json.Decoder(AddressedLine).decode
_encode: Final = msgspec.json.Encoder().encode


def encode(event: NewEvent) -> bytes:
    """An event as a line, its end included; four thirds of the frame and some 200 bytes."""
    line = AddressedLine(
        request_id=event.request_id,
        seq=event.seq,
        type=event.type,
        received_at=_moment(event.received_at),
        elapsed_us=event.elapsed_us,
        frame_base64=event.frame,
    )
    return _encode(line) + b"\n"


def decode(body: bytes, request_id: str | None = None) -> list[NewEvent]:
    """The events of a body, all of them or none.

    Args:
        body: Lines; empty ones are passed over.
        request_id: The run all of them belong to; None where each line names its own.

    Raises:
        BadQuery: A line makes no sense; `field` names it and, where known, its field.
    """
    lines = body.splitlines() if b"\r" in body else body.split(b"\n")
    events = [
        _event(number, line, request_id)
        for number, line in enumerate(lines, 1)
        if line and not line.isspace()
    ]
    if not events:
        raise BadQuery("body", "holds no event")
    if len(events) > MAX_LINES:
        raise BadQuery("body", f"holds more than {MAX_LINES} events")
    return events


def wrong_field(error: Exception) -> tuple[str | None, str]:
    """The field msgspec finds fault with, which it tells as ``field `x` `` or ``- at `$.x` ``; and why."""
    message = str(error)
    named = _FIELD.search(message)
    return named and named[1], message.partition(" - at `")[0].replace("`", "'")


def _event(number: int, text: bytes, request_id: str | None) -> NewEvent:
    try:
        if request_id is None:
            line: Line = _decode_addressed(text)
        else:
            line = _decode_line(text)
    except UnicodeDecodeError:
        raise BadQuery(f"line {number}", "is not UTF-8") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        field, reason = wrong_field(error)
        raise BadQuery(_place(number, field), reason) from None
    named = line.request_id if isinstance(line, AddressedLine) else request_id
    return _new_event(number, line, lift(named) or "")


def _new_event(number: int, line: Line, request_id: str) -> NewEvent:
    if (line.frame is msgspec.UNSET) == (line.frame_base64 is msgspec.UNSET):
        raise BadQuery(_place(number, "frame"), "give either frame or frame_base64")
    if (line.type == "opened") != (line.seq == 0):
        raise BadQuery(_place(number, "type"), "a run begins with `opened`, seq 0, and only there")
    frame = line.frame.encode() if isinstance(line.frame, str) else bytes(line.frame_base64 or b"")
    event = _read(number, line, frame)
    received_at = (line.received_at - _EPOCH) // _MICROSECOND
    return new_event(request_id, line.seq, event, frame, (received_at, line.elapsed_us))


def _read(number: int, line: Line, frame: bytes) -> Event:
    """What whoever reads the log will read."""
    logged = LoggedEvent(0, "", line.seq, line.type, None, None, None, 0, 0, frame, None, b"", b"")
    try:
        event = logged.event
    except (ValueError, RecursionError) as error:
        assert line.type in OWN_TYPES, "of all others anything can be read"
        _, reason = wrong_field(error)
        raise BadQuery(
            _place(number, "frame"), f"is no document of type {line.type}: {reason}"
        ) from None
    if redaction.tells_credentials(event):
        raise BadQuery(_place(number, "frame"), "shows a credential; write [redacted] in its place")
    return event


def _place(number: int, field: str | None) -> str:
    return f"line {number}" if field is None else f"line {number}, {field}"


def _moment(at_us: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:  # a clock that far off is shown at the end of the calendar
        return (datetime.min if at_us < 0 else datetime.max).replace(tzinfo=UTC)
