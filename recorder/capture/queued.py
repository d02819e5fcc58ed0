"""Runs that go through fal's queue, followed over the requests that ask about them.

A run is opened by the reply to its submit, which names it, and closed by what tells its outcome: its
result, or a webhook. One that nobody asks about any more is closed after a while.

A webhook may come before that reply. Then it opens the run, which stays open while a submit that was
under way may turn out to be its own.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from recorder.capture.taps import Call, opened
from recorder.documents import Closed, CloseReason, Exchange, Opened, Source, What
from recorder.events import lift
from recorder.projections.queue import Queue, tell
from recorder.recording import Recording
from recorder.store.log import EventLog, run_events

IDLE_S: Final = 3_600.0
"""How long a queued run is waited for after the last word about it."""

_MAX_ENDED: Final = 10_000
_ONCE: Final[frozenset[What]] = frozenset({"status", "webhook"})


class QueuedRun:
    """A queued run being recorded.

    Attributes:
        recording: What is being recorded of it.
        asked_at_s: When the last word about it came, on the monotonic clock.
        has_outcome: Whether that has been told.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.has_outcome = False
        self._queue = Queue()
        self._last: dict[What, tuple[int | None, bytes]] = {}
        self.asked_at_s = time.monotonic()

    def told(self, exchange: Exchange, body: bytes) -> None:
        """Records an exchange.

        What says no more than the last of its kind is not recorded again: clients ask for the status
        ten times a second, and fal delivers a webhook again until it is taken.
        """
        self.asked_at_s = time.monotonic()
        if exchange.what in _ONCE:
            if self._last.get(exchange.what) == (exchange.status, body):
                return
            self._last[exchange.what] = (exchange.status, body)
        self.recording.add(exchange)
        told = tell(self._queue, exchange, 0)
        self._queue = told.queue
        self.has_outcome = self.has_outcome or told.outcome is not None

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
        self._submits: set[object] = set()
        self._early: dict[str, set[object]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def open(self, request_id: str, document: Opened, recording: Recording) -> QueuedRun:
        """Begins to follow a run that was just submitted."""
        self._end(request_id, "error", "another run was submitted under the same id")
        recording.open(document)
        run = QueuedRun(recording)
        self._runs[request_id] = run
        self._close_idle()
        return run

    def submitting(self, submit: object) -> None:
        """A submit is about to go out; tell `submitted` when its reply is recorded, or there is none."""
        self._submits.add(submit)

    def submitted(self, submit: object) -> None:
        """Ends runs that were known from their webhooks, if no other submit can be theirs; idempotent."""
        self._submits.discard(submit)
        for request_id, awaited in list(self._early.items()):
            awaited.discard(submit)
            if not awaited:
                self._settle(request_id)

    def open_early(self, request_id: str, submit: object) -> QueuedRun | None:
        """The run a submit turned out to begin, if a webhook of it came while that was under way."""
        if submit not in self._early.get(request_id, ()):
            return None
        self._early[request_id] = {submit}
        return self._runs[request_id]

    def _settle(self, request_id: str) -> None:
        del self._early[request_id]
        if self._runs[request_id].has_outcome:
            self._end(request_id, "eof")

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
        is_new = not self.knows(request_id)
        unknown = Opened(workflow="", source=self.source, mode="queue", timed=False)
        run = self._find(request_id, unknown)
        if run is None:
            return None
        if is_new and self._submits:
            self._early[request_id] = set(self._submits)
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
        self._early.pop(request_id, None)
        self._ended.pop(request_id, None)

    def tell(
        self, run: QueuedRun, request_id: str, parts: Iterable[tuple[Exchange, bytes]]
    ) -> None:
        """Records an exchange about a run in all its parts, and the run's end if this is it."""
        for exchange, body in parts:
            run.told(exchange, body)
        if run.has_outcome and request_id not in self._early:
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
        self._early.pop(request_id, None)
        if run is None:
            return
        if run.has_outcome and reason != "refused":
            reason, detail = "eof", None
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
