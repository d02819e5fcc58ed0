"""Events: what a frame says, and where it stands in the log.

`parse` reads a payload into a typed event. It is total: whatever arrives, something of the types
below comes back, at worst `Unrecognised` with the reason. Facts about the payloads come from fal's
documentation of workflow streams; every field but `type` is optional there and unknown fields are
kept, because the frame itself is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from recorder import json_keys, lenient_json, sse
from recorder.documents import (
    Closed,
    CloseReason,
    Exchange,
    Gap,
    Opened,
    Source,
    decode_closed,
    decode_exchange,
    decode_gap,
    decode_opened,
    encode_document,
)

__all__ = [
    "Answer",
    "CloseReason",
    "Closed",
    "Completion",
    "Error",
    "Event",
    "EventType",
    "Exchange",
    "Gap",
    "LoggedEvent",
    "NewEvent",
    "Opened",
    "Output",
    "Source",
    "Submit",
    "Unrecognised",
    "WireEvent",
    "encode_document",
    "lift",
    "new_event",
    "parse",
    "type_of",
]

EventType = Literal[
    "opened",
    "submit",
    "completion",
    "output",
    "error",
    "unrecognised",
    "answer",
    "exchange",
    "gap",
    "closed",
]

UNRECOGNISED: Final = (
    "done_marker",
    "erased",
    "invalid_json",
    "no_type",
    "not_an_object",
    "oversize",
    "unknown_type",
)
"""Why a frame can be none of fal's events, see docs/anomalies.md."""

OWN_TYPES: Final = frozenset({"opened", "exchange", "gap", "closed"})
"""Events whose frame is a document of ours and no part of the body."""

MAX_LIFTED_CHARACTERS: Final = 512
MAX_LIFTED_BYTES: Final = 1_024
"""Two lifted ids of this size still fit an index entry of PostgreSQL (2,704 bytes)."""


class Submit(msgspec.Struct, frozen=True, gc=False):
    """A step was submitted; `step_request_id` is fal's id of the step, not of the run."""

    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None
    anomaly: str | None = None


class Completion(msgspec.Struct, frozen=True, gc=False):
    """A step finished; `output` is its JSON text as it came, unread."""

    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None
    output: bytes | None = None
    anomaly: str | None = None


class Output(msgspec.Struct, frozen=True, gc=False):
    """The workflow is done; `output` is its JSON text as it came, unread."""

    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None
    output: bytes | None = None
    anomaly: str | None = None


class Error(msgspec.Struct, frozen=True, gc=False):
    """A step failed, or the run where no node is named; `error` is its JSON text as it came."""

    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None
    message: str | None = None
    error: bytes | None = None
    anomaly: str | None = None


class Unrecognised(msgspec.Struct, frozen=True):
    """A frame that is none of fal's events; its bytes are in the log like any other's."""

    anomaly: str
    node_id: None = None
    app_id: None = None
    step_request_id: None = None


class Answer(msgspec.Struct, frozen=True):
    """What a plain call answered, or a piece of it; the frame is the bytes themselves, no SSE."""

    node_id: None = None
    app_id: None = None
    step_request_id: None = None
    anomaly: None = None


WireEvent = Submit | Completion | Output | Error | Unrecognised | Answer
Event = Opened | WireEvent | Exchange | Gap | Closed

_TYPES: Final[dict[type, EventType]] = {
    Opened: "opened",
    Submit: "submit",
    Completion: "completion",
    Output: "output",
    Error: "error",
    Unrecognised: "unrecognised",
    Answer: "answer",
    Exchange: "exchange",
    Gap: "gap",
    Closed: "closed",
}


def type_of(event: Event) -> EventType:
    """The log's name for the kind of event."""
    return _TYPES[type(event)]


_ABSENT: Final = msgspec.Raw()


class _Wire(msgspec.Struct, gc=False):
    """The fields we look at, payloads left raw; anything else in the object is passed over."""

    type: str
    node_id: str | None = None
    app_id: str | None = None
    request_id: str | None = None
    message: str | None = None
    output: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_decode_wire = msgspec.json.Decoder(_Wire).decode


def parse(data: str) -> WireEvent:
    """Reads a frame's data. Never raises.

    Strict JSON with fields of the documented types takes the short way. The rest is read as
    Python's `json` reads it (NaN, unpaired surrogates, ids that are numbers) and carries an
    anomaly; what cannot be read at all is `Unrecognised`. Of a key that stands twice the last one
    holds, as for every parser of JSON we know; an event carries one anomaly, and this one first.
    """
    try:
        text = data.encode()
        wire = _decode_wire(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _parse_leniently(data)
    payload = bytes(wire.error if wire.type == "error" else wire.output)
    # Every key has a colon of its own, outside the payload, which comes last as a rule. With no more
    # such colons than fields that were read, as nearly always, no key can have been there twice.
    outside = text.removesuffix(payload + b"}")
    fields = (
        1  # the type
        + (wire.node_id is not None)
        + (wire.app_id is not None)
        + (wire.request_id is not None)
        + (wire.message is not None)
        + (payload != b"")
    )
    if outside.count(b":") > fields and json_keys.repeat_in(outside.decode()):
        return _typed(wire, payload, "duplicate_keys")
    return _typed(wire, payload, None)


def _typed(wire: _Wire, payload: bytes, anomaly: str | None) -> WireEvent:
    node_id, app_id, step_request_id = wire.node_id, wire.app_id, wire.request_id
    match wire.type:
        case "submit":
            return Submit(node_id, app_id, step_request_id, anomaly)
        case "completion":
            return Completion(node_id, app_id, step_request_id, payload or None, anomaly)
        case "output":
            return Output(node_id, app_id, step_request_id, payload or None, anomaly)
        case "error":
            return Error(node_id, app_id, step_request_id, wire.message, payload or None, anomaly)
        case _:
            return Unrecognised("unknown_type")


def _parse_leniently(data: str) -> WireEvent:
    if data.strip() == "[DONE]":
        return Unrecognised("done_marker")
    try:
        return _of_json(lenient_json.loads(data), data)
    except (ValueError, RecursionError):
        # Writing needs a deeper stack than reading, so re-encoding a field can fail as well.
        return Unrecognised("invalid_json")


def _of_json(value: object, text: str) -> WireEvent:
    if not isinstance(value, dict):
        return Unrecognised("not_an_object")
    if not isinstance(value.get("type"), str):
        return Unrecognised("no_type")
    names = ("node_id", "app_id", "request_id", "message")
    if json_keys.repeat_in(text):
        anomaly = "duplicate_keys"
    elif any(not isinstance(value.get(name), str | None) for name in names):
        anomaly = "not_text"
    else:
        anomaly = "lenient_json"
    node_id, app_id, request_id, message = (_text(value.get(name)) for name in names)
    wire = _Wire(value["type"], node_id, app_id, request_id, message)
    payload_name = "error" if wire.type == "error" else "output"
    payload = json.dumps(value[payload_name]).encode() if payload_name in value else b""
    return _typed(wire, payload, anomaly)


def _text(value: object) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value)


def lift(value: str | None) -> str | None:
    """Makes an id fit for a column: itself, or `sha256:…` of it.

    A column is for finding. What no database can hold (NUL, unpaired surrogates) and what is too
    long for an index (over 512 characters or 1,024 bytes of UTF-8) is found by its digest; the
    frame keeps the id itself.
    """
    if value is None:
        return None
    if len(value) <= MAX_LIFTED_CHARACTERS and value.isascii() and "\0" not in value:
        return value
    encoded = value.encode("utf-8", "surrogatepass")
    storable = (
        len(value) <= MAX_LIFTED_CHARACTERS
        and len(encoded) <= MAX_LIFTED_BYTES
        and "\0" not in value
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )
    return value if storable else f"sha256:{hashlib.sha256(encoded).hexdigest()}"


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log.

    Attributes:
        request_id: The run.
        seq: Place in the run, from 0 without holes.
        type: The kind of event.
        frame: Exact bytes; for `opened` and `closed` the document of ours.
        received_at: Wall clock, microseconds since 1970 in UTC.
        elapsed_us: Monotonic time since the run began, in microseconds.
        node_id, app_id, step_request_id: Lifted, see `lift`.
    """

    request_id: str
    seq: int
    type: EventType
    frame: bytes
    received_at: int
    elapsed_us: int
    node_id: str | None = None
    app_id: str | None = None
    step_request_id: str | None = None


def new_event(
    request_id: str, seq: int, event: Event, frame: bytes, stamp: tuple[int, int]
) -> NewEvent:
    """An event at its place; `stamp` is `received_at` and `elapsed_us`."""
    received_at, elapsed_us = stamp
    return NewEvent(
        request_id=request_id,
        seq=seq,
        type=type_of(event),
        frame=frame,
        received_at=received_at,
        elapsed_us=elapsed_us,
        node_id=lift(event.node_id),
        app_id=lift(event.app_id),
        step_request_id=lift(event.step_request_id),
    )


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of the log; the fields stand in the order of the table's columns.

    What is not named here is as in `NewEvent`.

    Attributes:
        position: Place in the whole log, dense from 1, in commit order.
        frame: None once erased.
        salt: Random bytes that keep a short frame's digest from being guessed; None once erased.
        frame_digest: sha256 of salt and frame.
        chain: Hash over this row and the chain before it; see `recorder.chain`.
    """

    position: int
    request_id: str
    seq: int
    type: EventType
    node_id: str | None
    app_id: str | None
    step_request_id: str | None
    received_at: int
    elapsed_us: int
    frame: bytes | None
    salt: bytes | None
    frame_digest: bytes
    chain: bytes

    @property
    def event(self) -> Event:
        """What the frame says, read anew at every use, by this version's rules."""
        return _read(self)

    @property
    def payload(self) -> bytes | None:
        """The JSON text the event carries; None where it is erased or dispatched nothing."""
        if self.frame is None or self.type in OWN_TYPES or self.type == "answer":
            return self.frame
        data = sse.decode_data(self.frame, strip_bom=self.seq <= 1)
        return None if data is None else data.encode("utf-8", "surrogatepass")


_DOCUMENTS: Final[dict[EventType, Callable[[bytes], Event]]] = {
    "opened": decode_opened,
    "exchange": decode_exchange,
    "gap": decode_gap,
    "closed": decode_closed,
}


def _read(logged: LoggedEvent) -> Event:
    kind, frame = logged.type, logged.frame
    if frame is None:
        return _read_erased(kind, (logged.node_id, logged.app_id, logged.step_request_id))
    if (decode := _DOCUMENTS.get(kind)) is not None:
        return decode(frame)
    if kind == "answer":
        return Answer()
    data = sse.decode_data(frame, strip_bom=logged.seq <= 1)
    return Unrecognised("oversize") if data is None else parse(data)


_ERASED: Final[dict[EventType, Event]] = {
    "opened": Opened(workflow="", source="iterator"),
    "unrecognised": Unrecognised("erased"),
    "answer": Answer(),
    "exchange": Exchange(what="erased"),
    "gap": Gap(lost_events=0, lost_bytes=0, reason="erased"),
    "closed": Closed(reason="eof"),
}


def _read_erased(kind: EventType, ids: tuple[str | None, str | None, str | None]) -> Event:
    match kind:
        case "submit":
            return Submit(*ids)
        case "completion":
            return Completion(*ids)
        case "output":
            return Output(*ids)
        case "error":
            return Error(*ids)
        case _:
            return _ERASED[kind]
