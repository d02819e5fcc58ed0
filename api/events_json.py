"""Events as JSON, payloads passed through without being read and written again."""

from __future__ import annotations

import base64
from typing import TypeVar

import msgspec

from api.json_text import is_strict, readable
from api.reading import Events
from api.times import rfc3339
from recorder.events import LoggedEvent

_Optional = str | msgspec.UnsetType


class _Event(msgspec.Struct):
    """See `api.models.EventModel`, which documents this."""

    position: int
    seq: int
    type: str
    node_id: str | None
    app_id: str | None
    step_request_id: str | None
    received_at: str
    elapsed_us: int
    payload: msgspec.Raw | None
    payload_text: _Optional = msgspec.UNSET
    payload_base64: _Optional = msgspec.UNSET
    frame_base64: _Optional = msgspec.UNSET
    erased: bool = False


class _Following(_Event):
    """An event of the whole log: it tells its run."""

    request_id: str = ""


_Filled = TypeVar("_Filled", bound=_Event)


class _Page(msgspec.Struct):
    request_id: str
    events: list[_Event]
    next_after: int | None


def encode(request_id: str, page: Events, *, frames: bool) -> bytes:
    """A page of events as the body of an answer; `frames` adds each event's bytes in base64."""
    events = [_event(logged, frames=frames) for logged in page.events]
    return msgspec.json.encode(_Page(request_id, events, page.next_after))


def encode_block(logged: LoggedEvent) -> bytes:
    """An event of the log as a block of a stream; `id` is its position."""
    event = _fill(_Following, logged)
    event.request_id = logged.request_id
    data = msgspec.json.encode(event).replace(b"\r", b" ").replace(b"\n", b" ")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (logged.position, logged.type.encode(), data)


def _event(logged: LoggedEvent, *, frames: bool) -> _Event:
    event = _fill(_Event, logged)
    if frames and logged.frame is not None:
        event.frame_base64 = _base64(logged.frame)
    return event


def _fill(kind: type[_Filled], logged: LoggedEvent) -> _Filled:
    event = kind(
        position=logged.position,
        seq=logged.seq,
        type=logged.type,
        node_id=logged.node_id,
        app_id=logged.app_id,
        step_request_id=logged.step_request_id,
        received_at=rfc3339(logged.received_at),
        elapsed_us=logged.elapsed_us,
        payload=None,
        erased=logged.frame is None,
    )
    _put_payload(event, logged.payload)
    return event


def _put_payload(event: _Event, payload: bytes | None) -> None:
    if payload is None:
        return
    if is_strict(payload):
        event.payload = msgspec.Raw(payload)
        return
    event.payload_text = readable(payload.decode("utf-8", "surrogatepass"))
    event.payload_base64 = _base64(payload)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
