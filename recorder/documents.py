"""The recorder's own events: JSON documents in which it tells what no frame of a body says.

`opened` begins a run and `closed` ends it; an `exchange` is one request about a queued run and what
came back; a `gap` stands in for events that could not be kept. Fields are only ever added, each with a
default, so that every document ever written can be read.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final, Literal

import msgspec

Source = Literal["http", "transcript", "iterator", "proxy", "sdk", "ingest"]
Mode = Literal["stream", "call", "queue"]
CloseReason = Literal["eof", "cut", "client_gone", "timeout", "refused", "recorder_lost", "error"]
What = Literal[
    "submit", "status", "status_stream", "result", "cancel", "webhook", "unknown", "erased"
]

Microseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
"""Low enough that the sum of a run's counts fits into 64 bits, as columns want it."""
ByteCount = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
HttpStatus = Annotated[int, msgspec.Meta(ge=0, lt=1_000)]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder began a run. Its frame is this document, written by us.

    Attributes:
        workflow: `workflows/{owner}/{name}`, or whatever endpoint id was called.
        source: Where the bytes come from.
        mode: How the endpoint was called: for the stream of its events, plainly for its final answer,
            or through the queue.
        upstream_request_id: `x-fal-request-id` as it came; None where upstream gave none.
        url: The address called, credentials removed.
        method: Of the request; "" where there was no HTTP, or an earlier release did not tell, which knew POST
            only.
        input: The request body, as text; None where unknown or not UTF-8. Of a GET without a body, its query
            as a JSON object of texts.
        input_base64: The request body where it is not UTF-8.
        request_headers: Redacted.
        status: Upstream's HTTP status; None where there was no HTTP, or no answer.
        response_headers: Redacted.
        recorder: The recorder instance that wrote this; set by the recording.
        recording: Random, so that two recordings never open with the same bytes; set likewise.
        timed: Whether the events' times are those of the stream; a bare transcript has none, and
            its durations are unknown, not zero.
        definition: Names the workflow's definition among those kept; None where it is not known.
        parent: The run this one is a rerun of.
    """

    workflow: str
    source: Source
    mode: Mode = "stream"
    recorder: str = ""
    recording: str = ""
    upstream_request_id: str | None = None
    url: str | None = None
    method: str = ""
    input: str | None = None
    input_base64: str | None = None
    request_headers: dict[str, str] = {}
    status: HttpStatus | None = None
    response_headers: dict[str, str] = {}
    timed: bool = True
    definition: str | None = None
    parent: str | None = None
    node_id: None = None
    app_id: None = None
    step_request_id: None = None


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request about a queued run, and what came back. Its frame is this document, written by us.

    Attributes:
        what: What was asked; `webhook` is what fal sent by itself.
        part: From 0; a body too long for one event goes on in the next.
        method, url: Of the request, credentials removed.
        status: The answer's HTTP status; None for a webhook, and where no answer came.
        headers: Of the answer (of the request, for a webhook), redacted.
        body: The body as text; of a status stream, one of its frames.
        body_base64: The body where it is not UTF-8.
        opened: How the run began, where its webhook came before the reply to its submit: then the run's
            first event could not tell.
        lead_us: With `opened`, how long before the webhook the submit went out. The times of this event and
            the later ones count from the submit, those of the earlier ones from the webhook.
    """

    what: What
    part: int = 0
    method: str = ""
    url: str | None = None
    status: HttpStatus | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    body_base64: str | None = None
    opened: Opened | None = None
    lead_us: Microseconds = 0
    node_id: None = None
    app_id: None = None
    step_request_id: None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Events the recorder received and could not keep. Its frame is this document, written by us.

    Attributes:
        lost_events: How many frames are missing here.
        lost_bytes: What they came to.
        reason: Why they could not be kept.
    """

    lost_events: Count
    lost_bytes: ByteCount
    reason: str
    node_id: None = None
    app_id: None = None
    step_request_id: None = None


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder ended a run. Its frame is this document, written by us.

    Attributes:
        reason: Why the stream ended.
        detail: One line more about it.
        left_us: When the client left, where the stream went on without it; from the run's start.
        definition: Names the workflow's definition where that became known while the run was under way.
        trailing: Bytes after the last frame, as text; together with the frames, the exact body.
        trailing_base64: The same where they are not UTF-8.
    """

    reason: CloseReason
    detail: str | None = None
    left_us: Microseconds | None = None
    definition: str | None = None
    trailing: str | None = None
    trailing_base64: str | None = None
    node_id: None = None
    app_id: None = None
    step_request_id: None = None


decode_opened: Final = msgspec.json.Decoder(Opened).decode
decode_exchange: Final = msgspec.json.Decoder(Exchange).decode
decode_gap: Final = msgspec.json.Decoder(Gap).decode
decode_closed: Final = msgspec.json.Decoder(Closed).decode
_encode = msgspec.json.Encoder().encode


def encode_document(document: Opened | Exchange | Gap | Closed) -> bytes:
    """The frame of an event of ours: JSON, fields in the order of the type."""
    return _encode(document)


def beginning_in(event: object) -> Opened | None:
    """How its run began, as far as an event tells; where several do, the last is right."""
    if isinstance(event, Exchange):
        return event.opened
    return event if isinstance(event, Opened) else None


def as_text(body: bytes) -> tuple[str | None, str | None]:
    """Bytes for a document: as text, or in base64 where they are not UTF-8."""
    if not body:
        return None, None
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(body).decode()


def as_bytes(text: str | None, in_base64: str | None) -> bytes:
    """What `as_text` was given."""
    return (text or "").encode() if in_base64 is None else base64.b64decode(in_base64)
