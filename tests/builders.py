"""Frames, events and whole runs for the tests.

    history("run-1", submit("a"), completion("a", inference_s=0.1), output({"image": 1}))

is the run as a recording would have written it, `opened` and `closed` included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from recorder import chain, sse
from recorder.bodies import Part
from recorder.documents import What
from recorder.events import (
    Answer,
    Closed,
    CloseReason,
    Event,
    Exchange,
    Gap,
    LoggedEvent,
    NewEvent,
    Opened,
    Unrecognised,
    encode_document,
    lift,
    parse,
    type_of,
)
from recorder.store.generations import Checkpoint
from tests.clocks import NOVEMBER_2023_US

Happening = bytes | Event | Part
"""A frame, a document of ours, or an answer."""

WORKFLOW = "workflows/fal-ai/sdxl-sticker"
EPOCH = "00000000-0000-4000-8000-000000000000"
STEP_US = 100_000
"""What passes between two events of a built run, in microseconds."""


def frame(payload: Mapping[str, Any] | str) -> bytes:
    """A block as fal sends it; text goes in as it is."""
    return sse.encode(payload if isinstance(payload, str) else json.dumps(payload))


def submit(
    node_id: str | None, *, app_id: str | None = "fal-ai/app", step: str | None = None
) -> bytes:
    """A step is submitted; `step` is its step request id."""
    return frame(_present(type="submit", node_id=node_id, app_id=app_id, request_id=step))


def completion(
    node_id: str | None,
    *,
    inference_s: float | str | None = None,
    app_id: str | None = "fal-ai/app",
    step: str | None = None,
) -> bytes:
    """A step is done, `inference_s` being what its app says it took."""
    output: dict[str, Any] = {"text": f"of {node_id}"}
    if inference_s is not None:
        output["timings"] = {"inference": inference_s}
    return frame(
        _present(type="completion", node_id=node_id, app_id=app_id, request_id=step, output=output)
    )


def output(value: Any = "done") -> bytes:
    """The workflow is done."""
    return frame({"type": "output", "output": value})


def error(
    node_id: str | None = None, *, message: str = "it broke", status: int = 500, body: Any = None
) -> bytes:
    """A step failed, or the run where no node is named."""
    details = {"status": status, "body": body}
    return frame(_present(type="error", node_id=node_id, message=message, error=details))


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def opened(request_id: str, **fields: Any) -> Opened:
    """The document a run begins with, as unlike any other as the request id."""
    known: dict[str, Any] = {
        "workflow": WORKFLOW,
        "source": "http",
        "recorder": "tests",
        "recording": f"recording of {request_id}",
        "upstream_request_id": request_id,
        "status": 200,
        "response_headers": {"content-type": "text/event-stream"},
    }
    return Opened(**(known | fields))


def answer(value: Any = "done") -> Part:
    """The whole answer of a plain call."""
    return Answer(), json.dumps(value).encode()


def exchange(what: What, status: int | None = 200, body: Any = None, **fields: Any) -> Exchange:
    """A request about a queued run and what came back; a body that is no text goes out as JSON."""
    text = body if isinstance(body, str | None) else json.dumps(body)
    return Exchange(what=what, status=status, body=text, **fields)


def new_event(
    request_id: str, seq: int, what: Happening = b"", *, elapsed_us: int | None = None
) -> NewEvent:
    """An event at its place: a frame, read as a recording reads it, an answer, or a document of ours."""
    elapsed_us = seq * STEP_US if elapsed_us is None else elapsed_us
    event, raw = _part(what)
    return NewEvent(
        request_id=request_id,
        seq=seq,
        type=type_of(event),
        frame=raw,
        received_at=NOVEMBER_2023_US + elapsed_us,
        elapsed_us=elapsed_us,
        node_id=lift(event.node_id),
        app_id=lift(event.app_id),
        step_request_id=lift(event.step_request_id),
    )


def _part(what: Happening) -> tuple[Event, bytes]:
    if isinstance(what, tuple):
        return what
    if isinstance(what, bytes):
        return _read(what), what
    assert isinstance(what, Opened | Exchange | Gap | Closed), "a wire event is given as its frame"
    return what, encode_document(what)


def _read(raw: bytes) -> Event:
    data = sse.decode_data(raw)
    return Unrecognised("oversize") if data is None else parse(data)


def history(
    request_id: str,
    *frames: bytes | Exchange | Part,
    document: Opened | None = None,
    reason: CloseReason | None = "eof",
    every_us: int = STEP_US,
) -> list[NewEvent]:
    """A run from `opened` to `closed`; without a reason it is still going on."""
    whats: list[Happening] = [document or opened(request_id), *frames]
    if reason is not None:
        whats.append(Closed(reason=reason))
    return [
        new_event(request_id, seq, what, elapsed_us=seq * every_us)
        for seq, what in enumerate(whats)
    ]


def one_step_run(request_id: str, node_id: str = "a") -> list[NewEvent]:
    """A run that went well: five events."""
    return history(request_id, submit(node_id), completion(node_id, inference_s=0.05), output())


def plain_run(request_id: str, count: int, *, first: int = 0) -> list[NewEvent]:
    """Events numbered from `first`, for tests that care about places, not about what they say."""
    return [
        new_event(request_id, seq, submit(f"{request_id}/{seq}"))
        for seq in range(first, first + count)
    ]


def logged(events: Iterable[NewEvent], *, after: int = 0) -> list[LoggedEvent]:
    """Events as a log hands them out, positions above `after`, without a database."""
    value = chain.GENESIS
    rows = []
    for position, event in enumerate(events, after + 1):
        salt = hashlib.sha256(str(position).encode()).digest()[: chain.SALT_BYTES]
        digest = chain.frame_digest(salt, event.frame)
        value = chain.link(EPOCH, value, position, event, digest)
        rows.append(
            LoggedEvent(
                **msgspec.structs.asdict(event),
                position=position,
                salt=salt,
                frame_digest=digest,
                chain=value,
            )
        )
    return rows


def interleaved(*runs: list[NewEvent]) -> list[NewEvent]:
    """The events of several runs in turn, each run's in order."""
    longest = max(len(run) for run in runs)
    return [run[index] for index in range(longest) for run in runs if index < len(run)]


def as_new(rows: Iterable[LoggedEvent]) -> list[NewEvent]:
    """What was appended, read back from the log; none may have been erased."""
    return [
        NewEvent(**{name: getattr(row, name) for name in NewEvent.__struct_fields__})
        for row in rows
    ]


def place(checkpoint: Checkpoint) -> tuple[int, int]:
    """Generation and position of a checkpoint."""
    return checkpoint.generation, checkpoint.position
