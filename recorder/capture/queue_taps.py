"""The taps beside requests to fal's queue: submits, and questions about what was submitted."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from recorder import redaction, sse
from recorder.capture.queued import QueuedRun, QueuedRuns
from recorder.capture.taps import Call, Headers, opened
from recorder.documents import CloseReason, Exchange, Opened, What, as_text
from recorder.events import lift
from recorder.recording import Recording

MAX_PART_BYTES: Final = 16 * 1024 * 1024
"""A longer body goes on in another exchange."""


class _Submitted(msgspec.Struct):
    request_id: Any = None


_decode_submitted: Final = msgspec.json.Decoder(_Submitted).decode


class _Answer:
    """An answer being read."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.status: int | None = None
        self.headers: Headers = ()
        self.body = bytearray()

    def exchanges(self, what: What) -> list[tuple[Exchange, bytes]]:
        """The request and what came back of it, with the bytes of each part."""
        body = bytes(self.body)
        parts = [body[at : at + MAX_PART_BYTES] for at in range(0, len(body), MAX_PART_BYTES)]
        return [
            (self._part(what, number, part), part) for number, part in enumerate(parts or [b""])
        ]

    def _part(self, what: What, number: int, part: bytes) -> Exchange:
        text, in_base64 = as_text(part)
        return Exchange(
            what=what,
            part=number,
            method=self._call.method,
            url=redaction.url(self._call.url),
            status=self.status,
            headers=redaction.headers(self.headers) if number == 0 else {},
            body=text,
            body_base64=in_base64,
        )


class SubmitTap:
    """Beside a submit to the queue, whose reply names the run."""

    def __init__(self, call: Call, runs: QueuedRuns, recording: Recording) -> None:
        self.request_id: str | None = None
        self._call = call
        self._runs = runs
        self._recording = recording
        self._answer = _Answer(call)
        runs.submitting(self)

    def answered(self, status: int, headers: Headers) -> None:
        """See `Tap`."""
        self._answer.status, self._answer.headers = status, headers

    def feed(self, chunk: bytes) -> None:
        """See `Tap`."""
        self._answer.body += chunk

    def client_left(self) -> None:
        """See `Tap`; the run goes on in the queue."""

    def ended(self) -> None:
        """See `Tap`."""
        self._record("eof")

    def broke_off(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`."""
        self._record(reason, detail)

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`."""
        self._record(reason, detail)

    def unsent(self) -> None:
        """See `Tap`."""
        self._runs.submitted(self)

    def _record(self, reason: CloseReason, detail: str | None = None) -> None:
        try:
            self._record_reply(reason, detail)
        finally:
            self._runs.submitted(self)

    def _record_reply(self, reason: CloseReason, detail: str | None) -> None:
        answer = self._answer
        document = opened(self._call, self._runs.source, "queue", answer.status, answer.headers)
        named = _submitted_id(answer.body)
        if named is not None:
            document = msgspec.structs.replace(document, upstream_request_id=named)
        request_id = named or document.upstream_request_id
        self.request_id = request_id
        run, parts = self._begin(request_id or "", document)
        if answer.status is not None:
            self._runs.tell(run, request_id or "", parts)
        if answer.status is None or answer.status >= 300 or named is None:
            self._runs.refuse(request_id or "", answer.status, reason, detail)

    def _begin(
        self, request_id: str, document: Opened
    ) -> tuple[QueuedRun, list[tuple[Exchange, bytes]]]:
        """The run, and the reply to be recorded on it."""
        first, *more = self._answer.exchanges("submit")
        run = self._runs.open_early(request_id, self)
        if run is None:
            return self._runs.open(request_id, document, self._recording), [first, *more]
        reply, body = first
        reply = run.recording.take_over(self._recording, document, reply)
        return run, [(reply, body), *more]


def _submitted_id(body: bytes | bytearray) -> str | None:
    try:
        told = _decode_submitted(body).request_id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return told if isinstance(told, str) and lift(told) else None


class QueueTap:
    """Beside a question about a queued run."""

    def __init__(self, call: Call, runs: QueuedRuns) -> None:
        self.request_id = call.endpoint.request_id
        self._call = call
        self._runs = runs
        self._answer = _Answer(call)
        self._frames = sse.Decoder() if call.endpoint.kind == "status_stream" else None

    def answered(self, status: int, headers: Headers) -> None:
        """See `Tap`."""
        self._answer.status, self._answer.headers = status, headers
        if status >= 300:
            self._frames = None  # no stream, but a page that says why

    def feed(self, chunk: bytes) -> None:
        """See `Tap`."""
        if self._frames is None:
            self._answer.body += chunk
            return
        for frame in self._frames.feed(chunk):
            self._answer.body = bytearray(frame.raw)
            self._record("status_stream")

    def client_left(self) -> None:
        """See `Tap`; the run goes on in the queue."""

    def ended(self) -> None:
        """See `Tap`."""
        if self._frames is None:
            self._record(_WHAT[self._call.endpoint.kind])

    def broke_off(self, reason: CloseReason, detail: str) -> None:  # see Tap
        """See `Tap`; a torn answer tells nothing sure, and the client will ask again."""

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`; the client will ask again."""

    def unsent(self) -> None:
        """See `Tap`."""

    def _record(self, what: What) -> None:
        status = self._answer.status
        known = self._runs.knows(self.request_id or "")
        if not known and (status is None or status >= 300) and status != 422:
            return  # who knows whether there is such a run at all
        run = self._runs.find(self._call)
        if run is None:
            return
        self._runs.tell(run, self.request_id or "", self._answer.exchanges(what))


_WHAT: Final[dict[str, What]] = {
    "status": "status",
    "status_stream": "status_stream",
    "result": "result",
    "cancel": "cancel",
}
