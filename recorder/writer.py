"""The log writer: one thread that commits what everybody sends, together.

Group commit without an artificial delay: while one transaction is being made durable, events of all
streams queue up, and the next transaction takes all of them. An append is acknowledged after its
commit, never before.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from itertools import islice
from typing import Final

import msgspec

from recorder.errors import LogError, LogUnavailable, RunClosed, SequenceConflict, WriterClosed
from recorder.events import NewEvent
from recorder.store.log import EventLog, Outcome, Receipt

_log = logging.getLogger(__name__)

MAX_BATCH_EVENTS: Final = 1_000
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A transaction takes no more than this, so that the head row is never locked for long."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


class Lane:
    """A run on its way into the log, and the id its events go by.

    Attributes:
        request_id: The id asked for. Should that run be in the log already, the writer settles on
            the id with the next free suffix (`~2`, `~3`, …).
        opened: Whether the lane's `opened` event is committed and the id final. Until then the
            lane's other events wait: sent along, they could land in the run that has the id.
        broken: Why the `opened` event could not be appended; its followers fail with the same.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.opened = False
        self.broken: Exception | None = None
        self._asked_for = request_id
        self._suffix = 1

    def take_next_id(self) -> None:
        """Moves on to the next suffix."""
        self._suffix += 1
        self.request_id = f"{self._asked_for}~{self._suffix}"


class _Append(msgspec.Struct, eq=False):
    """What one call to `submit` brought."""

    lane: Lane | None
    events: list[NewEvent]
    size_bytes: int
    acknowledged: Future[list[Receipt]]

    @property
    def opens(self) -> bool:
        return self.lane is not None and self.events[0].type == "opened"

    @property
    def must_wait(self) -> bool:
        """Whether the lane's id is still to be settled."""
        return self.lane is not None and not self.lane.opened and not self.opens

    def addressed(self) -> list[NewEvent]:
        """The events, under the id the lane goes by now."""
        if self.lane is None or self.events[0].request_id == self.lane.request_id:
            return self.events
        request_id = self.lane.request_id
        return [msgspec.structs.replace(event, request_id=request_id) for event in self.events]

    def settle(self, outcomes: Sequence[Outcome]) -> bool:
        """Answers the caller; False if the append has to be tried under another id."""
        refused = next((each for each in outcomes if isinstance(each, LogError)), None)
        if self.lane is not None and self.opens:
            if isinstance(refused, SequenceConflict | RunClosed):
                self.lane.take_next_id()
                return False
            self.lane.opened = True
        if refused is not None:
            self.acknowledged.set_exception(refused)
        else:
            self.acknowledged.set_result([each for each in outcomes if isinstance(each, Receipt)])
        return True

    def fail(self, error: Exception) -> None:
        """Answers the caller with an error."""
        if self.lane is not None and self.opens:
            self.lane.broken = error
        self.acknowledged.set_exception(error)


class LogWriter:
    """Appends from many threads, committed in groups by one.

    While the database is away the writer keeps what it was given and tries again with growing
    pauses; appends are idempotent, so a commit whose answer was lost does no harm.

    Args:
        log: Where to append.
        pause: Waits between two tries; returns early when the writer is closing. For tests.
    """

    def __init__(self, log: EventLog, *, pause: Callable[[float], object] | None = None) -> None:
        self._log = log
        self._queue: deque[_Append] = deque()
        self._unsettled: set[Future[list[Receipt]]] = set()
        self._wakeup = threading.Condition()
        self._closing = False
        self._giving_up = threading.Event()
        self._pause = pause or self._giving_up.wait
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(
        self, events: Sequence[NewEvent], *, lane: Lane | None = None
    ) -> Future[list[Receipt]]:
        """Queues events, to be appended in order, and returns at once.

        Args:
            events: One or more events of one run, in order of `seq`.
            lane: The run they belong to. The writer then fills in `request_id`, and an `opened`
                event whose id is taken gets the next free one instead of a conflict. It has to be
                the first the lane sends, and a call of its own.

        Returns:
            A future of the receipts, set after the commit, or of the error that refused one.

        Raises:
            WriterClosed: The writer has been closed.
        """
        size = sum(len(event.frame) for event in events)
        append = _Append(lane, list(events), size, Future())
        append.acknowledged.set_running_or_notify_cancel()
        with self._wakeup:
            if self._closing:
                raise WriterClosed("the log writer is closed")
            self._queue.append(append)
            self._unsettled.add(append.acknowledged)
            append.acknowledged.add_done_callback(self._unsettled.discard)
            self._wakeup.notify()
        return append.acknowledged

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until all that was submitted before is committed or refused.

        Returns:
            Whether that was so within the timeout.
        """
        with self._wakeup:
            before = set(self._unsettled)
        return not wait(before, timeout_s).not_done

    def close(self, timeout_s: float = 10.0) -> bool:
        """Commits what is queued, then stops; idempotent.

        Returns:
            Whether all was committed. What could not be within the timeout fails with
            `LogUnavailable`.
        """
        with self._wakeup:
            self._closing = True
            self._wakeup.notify()
        self._thread.join(timeout_s)
        in_time = not self._thread.is_alive()
        self._giving_up.set()
        self._thread.join(timeout_s)
        return in_time

    def _run(self) -> None:
        while group := self._next_group():
            self._append(group)
        with self._wakeup:
            for append in self._queue:
                append.fail(WriterClosed("the log writer closed before this run was opened"))

    def _next_group(self) -> list[_Append]:
        """What may go into the next transaction, up to its limits; empty when closing and done."""
        with self._wakeup:
            while True:
                group = self._take_group()
                if group or self._closing:
                    return group
                self._wakeup.wait()

    def _take_group(self) -> list[_Append]:
        group: list[_Append] = []
        waiting: list[_Append] = []
        events = size_bytes = 0
        while self._queue and events < MAX_BATCH_EVENTS and size_bytes < MAX_BATCH_BYTES:
            append = self._queue.popleft()
            if append.lane is not None and append.lane.broken is not None:
                append.fail(append.lane.broken)
            elif append.must_wait:
                waiting.append(append)
            else:
                group.append(append)
                events += len(append.events)
                size_bytes += append.size_bytes
        self._queue.extendleft(reversed(waiting))
        return group

    def _append(self, group: list[_Append]) -> None:
        while group:
            batch = [event for append in group for event in append.addressed()]
            try:
                outcomes = iter(self._append_until_done(batch))
            except Exception as error:
                for append in group:
                    append.fail(error)
                return
            group = [
                append
                for append in group
                if not append.settle(list(islice(outcomes, len(append.events))))
            ]

    def _append_until_done(self, batch: list[NewEvent]) -> list[Outcome]:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._log.append(batch)
            except LogUnavailable as error:
                if self._giving_up.is_set():
                    raise
                _log.warning("log unavailable, trying again in %.2f s: %s", pause_s, error)
            self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
