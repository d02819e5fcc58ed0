"""Runs that go through fal's queue, followed over the requests that ask about them.

A run is opened by the reply to its submit, which names it, and closed by what tells its outcome: its
result, or a webhook. One that nobody asks about any more is closed after a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from recorder import redaction, sse
from recorder.capture.taps import Call, Headers, opened
from recorder.documents import Closed, CloseReason, Exchange, Opened, Source, What, as_text
from recorder.events import lift
from recorder.projections.queue import Queue, tell
from recorder.recording import Recording
from recorder.store.log import EventLog, run_events

MAX_PART_BYTES: Final = 16 * 1024 * 1024
"""A longer body goes on in another exchange."""

IDLE_S: Final = 3_600.0
"""How long a queued run is waited for after the last word about it."""

_MAX_ENDED: Final = 10_000
_ONCE: Final[frozenset[What]] = frozenset({"status", "webhook"})


class QueuedRun:
    """A queued run being recorded.

    Attributes:
        recording: What is being recorded of it.
        asked_at_s: When the last word about it came, on the monotonic clock.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._queue = Queue()
        self._last: dict[What, tuple[int | None, bytes]] = {}
        self.asked_at_s = time.monotonic()

    def told(self, exchange: Exchange, body: bytes) -> bool:
        """Records an exchange; returns whether it tells the outcome, which ends the recording.

        What says no more than the last of its kind is not recorded again: clients ask for the status
        ten times a second, and fal delivers a webhook again until it is taken.
        """
        self.asked_at_s = time.monotonic()
        if exchange.what in _ONCE:
            if self._last.get(exchange.what) == (exchange.status, body):
                return False
            self._last[exchange.what] = (exchange.status, body)
        self.recording.add(exchange)
        told = tell(self._queue, exchange, 0)
        self._queue = told.queue
        return told.outcome is not None

    def close(self, reason: CloseReason, detail: str | None = None) -> None:
        """Ends the recording; idempotent."""
        self.recording.close(reason, detail)


class QueuedRuns:
    """The queued runs under way, by request id.

    Args:
        start: Begins a recording.
        source: What the runs tell of where their bytes come from.
        idle_s: See `IDLE_S`.
    """

    def __init__(
        self, start: Callable[[], Recording], source: Source, *, idle_s: float = IDLE_S
    ) -> None:
        self.source: Source = source
        self._start = start
        self._idle_s = idle_s
        self._runs: OrderedDict[str, QueuedRun] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def open(self, request_id: str, document: Opened, recording: Recording) -> QueuedRun:
        """Begins to follow a run that was just submitted."""
        self._end(request_id, "error", "another run was submitted under the same id")
        recording.open(document)
        run = QueuedRun(recording)
        self._runs[request_id] = run
        self._close_idle()
        return run

    def find(self, call: Call) -> QueuedRun | None:
        """The run a request asks about.

        One submitted elsewhere, or before a restart, is followed from here on. None where its end is
        recorded already.
        """
        request_id = call.endpoint.request_id or ""
        document = opened(call, self.source, "queue", None, ())
        return self._find(request_id, msgspec.structs.replace(document, input=None))

    def reported(self, request_id: str, report: Exchange, body: bytes) -> Recording | None:
        """Records a webhook; returns its run's recording, None where the run's end is recorded already.

        A run submitted elsewhere is known from its webhook alone: that it ended, not when it began.
        """
        unknown = Opened(workflow="", source=self.source, mode="queue", timed=False)
        run = self._find(request_id, unknown)
        if run is None:
            return None
        self.tell(run, request_id, [(report, body)])
        return run.recording

    def _find(self, request_id: str, document: Opened) -> QueuedRun | None:
        """The run, opened with this document if it is not known; None where its end is recorded."""
        run = self._runs.get(request_id)
        if run is not None or request_id in self._ended:
            return run
        named = msgspec.structs.replace(document, upstream_request_id=request_id)
        return self.open(request_id, named, self._start())

    def knows(self, request_id: str) -> bool:
        """Whether the run is followed, or its end recorded."""
        return request_id in self._runs or request_id in self._ended

    def forget(self, request_id: str) -> None:
        """Takes a run for unknown, because what was recorded of it is lost."""
        self._runs.pop(request_id, None)
        self._ended.pop(request_id, None)

    def tell(
        self, run: QueuedRun, request_id: str, parts: Iterable[tuple[Exchange, bytes]]
    ) -> None:
        """Records an exchange about a run in all its parts, and the run's end if this is it."""
        outcomes = [run.told(exchange, body) for exchange, body in parts]
        if any(outcomes):
            self._end(request_id, "eof")

    def refuse(
        self, request_id: str, status: int | None, reason: CloseReason, detail: str | None
    ) -> None:
        """Ends a run that was not taken into the queue, as far as is known."""
        if status is not None and status >= 300:
            reason, detail = "refused", f"upstream answered {status}"
        self._end(request_id, "error" if reason == "eof" else reason, detail)

    def close(self) -> None:
        """Ends all recordings: whoever would go on with them is going away."""
        for request_id in list(self._runs):
            self._end(request_id, "error", "the recorder was stopped while the run was waited for")

    def _end(self, request_id: str, reason: CloseReason, detail: str | None = None) -> None:
        run = self._runs.pop(request_id, None)
        if run is None:
            return
        run.close(reason, detail)
        self._ended[request_id] = None
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    def _close_idle(self) -> None:
        now_s = time.monotonic()
        for request_id, run in list(self._runs.items()):
            if now_s - run.asked_at_s > self._idle_s:
                self._end(request_id, "timeout", "nobody asked about the run any more")


def has_outcome(log: EventLog, request_id: str) -> bool:
    """Whether the log has a run of this id, or of it with a suffix, that was seen to its end.

    What `QueuedRuns` knows is lost with the process; the log remembers.
    """
    asked_for = named = lift(request_id) or ""
    number = 1
    while of_run := deque(run_events(log, named), maxlen=1):
        if isinstance(last := of_run[0].event, Closed) and last.reason == "eof":
            return True
        number += 1
        named = f"{asked_for}~{number}"
    return False


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

    def _record(self, reason: CloseReason, detail: str | None = None) -> None:
        answer = self._answer
        document = opened(self._call, self._runs.source, "queue", answer.status, answer.headers)
        request_id = _submitted_id(answer.body)
        refused = answer.status is None or answer.status >= 300 or request_id is None
        if request_id is not None:
            document = msgspec.structs.replace(document, upstream_request_id=request_id)
        self.request_id = request_id or document.upstream_request_id
        run = self._runs.open(self.request_id or "", document, self._recording)
        if answer.status is not None:
            self._runs.tell(run, self.request_id or "", answer.exchanges("submit"))
        if refused:
            self._runs.refuse(self.request_id or "", answer.status, reason, detail)


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
