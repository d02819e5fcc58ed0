"""The log writer: one thread that commits what everybody sends, together.

Group commit without an artificial delay: while one transaction is being made durable, events of all
streams queue up, and the next transaction takes all of them. An append is acknowledged after its
commit, never before.

While the log is away, groups are set aside, in the spool if there is one, and delivered in order when
it is back. Senders never wait: what finds no room anywhere is given up, and a `gap` with its count
stands in for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final

from recorder.backlog import Backlog, give_up
from recorder.errors import LogError, LogUnavailable, WriterClosed
from recorder.events import LoggedEvent, NewEvent, Opened
from recorder.lanes import Lane, Parcel
from recorder.store.log import AppendLog, Receipt
from recorder.store.spool import Spool

__all__ = ["Lane", "LogWriter"]

_log = logging.getLogger(__name__)

MAX_BATCH_EVENTS: Final = 1_000
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A transaction takes no more than this, so that the head row is never locked for long."""

HIGH_WATER_BYTES: Final = 16 * 1024 * 1024
"""More than this waiting while the log hangs is set aside by a second thread."""

MAX_QUEUED_BYTES: Final = 96 * 1024 * 1024
"""More than this waiting is given up."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


class LogWriter:
    """Appends from many threads, committed in groups by one.

    While the database is away the writer tries again with growing pauses; appends are idempotent, so a
    commit whose answer was lost does no harm.

    Args:
        log: Where to append.
        spool: Where to set groups aside while the log is away; without one they stay in memory, as
            far as there is room.
        pause: Waits between two tries; by default until then or until something is sent. For tests.

    Attributes:
        instance: Names this recorder in the `opened` events of its runs; the log holds its lease.
    """

    def __init__(
        self,
        log: AppendLog,
        *,
        spool: Spool | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.instance = log.instance
        self._log = log
        self._queue: deque[Parcel] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition(threading.RLock())
        self._backlog = Backlog(spool)
        self._delivering = True  # at first what others have left, see `_run`
        self._away: LogUnavailable | None = None  # what the log last said, while it is away
        self._closing = False
        self._deadline: float | None = None  # of closing, on the monotonic clock
        self._pause = pause or self._wait_while_setting_aside
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()
        self._keeper: threading.Thread | None = None

    @property
    def is_behind(self) -> bool:
        """Whether something is set aside, because the log is or was away."""
        return bool(self._backlog)

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
        acknowledged: Future[list[Receipt]] = Future()
        acknowledged.set_running_or_notify_cancel()
        self._send(Parcel(lane, list(events), acknowledged))
        return acknowledged

    def post(self, events: Sequence[NewEvent], *, lane: Lane) -> None:
        """Like `submit` for a sender who does not wait; a refusal shows in `lane.broken`.

        Raises:
            WriterClosed: The writer has been closed.
        """
        self._send(Parcel(lane, list(events)))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until all that was sent before is committed or refused.

        Returns:
            Whether that was so within the timeout.
        """
        with self._changed:
            if not (self._queue or self._backlog or self._delivering):
                return True
        try:
            reached = self.mark()
        except WriterClosed:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        try:
            reached.result(timeout_s)
        except (TimeoutError, LogUnavailable):
            return False
        return True

    def mark(self) -> Future[list[Receipt]]:
        """A future, set once all that was sent before is committed or refused; it holds nothing.

        Nobody who waits for it can cancel it. It fails with `LogUnavailable` where the writer is
        closed first.

        Raises:
            WriterClosed: The writer has been closed.
        """
        reached: Future[list[Receipt]] = Future()
        reached.set_running_or_notify_cancel()
        self._send(Parcel(None, [], reached))
        return reached

    def close(self, timeout_s: float = 10.0) -> bool:
        """Commits what is queued, then stops; idempotent.

        Returns:
            Whether all was committed within the timeout. What was not is in the spool if there is
            one, for the next process to append; its senders are answered with `LogUnavailable`.
        """
        with self._changed:
            self._closing = True
            self._deadline = self._deadline or time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join()
        if self._keeper is not None:
            self._keeper.join()
        return self._backlog.close(self._away)

    def _send(self, parcel: Parcel) -> None:
        with self._changed:
            if self._closing:
                raise WriterClosed("the log writer is closed")
            no_room = self._queued_bytes > MAX_QUEUED_BYTES
            parcels = give_up([parcel], "no room while the log hangs") if no_room else [parcel]
            self._queue.extend(parcels)
            self._queued_bytes += sum(each.size_bytes for each in parcels)
            self._changed.notify_all()
            if self._queued_bytes > HIGH_WATER_BYTES and self._keeper is None:
                keeper = threading.Thread(target=self._keep, name="log-keeper", daemon=True)
                keeper.start()  # should no thread be had, the next sender tries again
                self._keeper = keeper

    def adopt(self) -> None:
        """Takes over what processes that are gone have left in the spool; called now and then."""
        self._backlog.adopt()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        self._backlog.adopt()
        self._delivering = False
        pause_s = _FIRST_PAUSE_S
        while self._work_to_do():
            if self._deliver_backlog() if self._backlog else self._deliver_queue():
                pause_s = _FIRST_PAUSE_S
            elif self._out_of_time():
                self._set_aside_queue()
                return
            else:
                self._pause(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _work_to_do(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._backlog or self._closing)
            return bool(self._queue or self._backlog)

    def _deliver_backlog(self) -> bool:
        left = self._deliver(self._backlog.first())
        if left:
            self._backlog.keep_first(left)
            return False
        self._backlog.drop_first()
        return True

    def _deliver_queue(self) -> bool:
        with self._changed:
            if self._backlog:  # the keeper has just set aside what comes before the queue
                return True
            number, group = self._take_group()
            self._delivering = True
        left = self._deliver(group)
        if left:
            self._backlog.settle(self._backlog.reserve(number, left, first=True))
        self._delivering = False
        return not left

    def _take_group(self) -> tuple[int, list[Parcel]]:
        """What goes into the next transaction, with a number that orders it among groups."""
        group: list[Parcel] = []
        events = size_bytes = 0
        with self._changed:
            while self._queue and events < MAX_BATCH_EVENTS and size_bytes < MAX_BATCH_BYTES:
                parcel = self._queue.popleft()
                group.append(parcel)
                events += len(parcel.events)
                size_bytes += parcel.size_bytes
            self._queued_bytes -= size_bytes
            return self._backlog.next_number(), group

    def _deliver(self, group: list[Parcel]) -> list[Parcel]:
        """Appends a group; returns what could not be, because the log is away."""
        markers = [parcel for parcel in group if parcel.is_marker]
        left = [parcel for parcel in group if not parcel.is_marker]
        while left:
            waiting = [parcel for parcel in left if parcel.must_wait]
            ready = [parcel for parcel in left if not parcel.must_wait]
            try:
                if not ready:
                    if self._find_openings(left):
                        continue
                    self._refuse_unopened(left)
                    break
                again = self._append(ready)
            except LogUnavailable as error:
                self._away = error
                _log.warning("log unavailable, %d parcels wait: %s", len(left), error)
                return left + markers
            left = again + waiting  # a lane that waits has nothing but its opening in `again`
        for marker in markers:
            marker.settle([])
        return []

    def _append(self, ready: list[Parcel]) -> list[Parcel]:
        """Appends parcels in one transaction; returns those to send again under another id."""
        batches = [parcel.addressed() for parcel in ready]
        try:
            outcomes = iter(self._log.append([event for batch in batches for event in batch]))
        except LogUnavailable:
            raise
        except Exception as error:
            _log.exception("the log failed")
            self._refuse(ready, error)
            return []
        again, refused = [], []
        for parcel, batch in zip(ready, batches, strict=True):
            if not parcel.settle(list(islice(outcomes, len(batch)))):
                again.append(parcel)
            elif parcel.lane is not None and parcel.lane.broken is not None:
                refused.append(parcel)
        self._backlog.keep_refused(refused)
        return again

    def _find_openings(self, waiting: list[Parcel]) -> bool:
        """Looks in the log for the `opened` events of lanes; whether one was found.

        A process that died while it drained its spool had delivered some of them, and only its
        memory knew.
        """
        lanes = {parcel.lane.key: parcel.lane for parcel in waiting if parcel.lane is not None}
        found = [_find_opening(self._log, lane) for lane in lanes.values()]
        return any(found)

    def _refuse_unopened(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            assert parcel.lane is not None
            self._refuse([parcel], parcel.lane.broken or LogError("the run was never opened"))

    def _refuse(self, parcels: list[Parcel], error: Exception) -> None:
        for parcel in parcels:
            parcel.fail(error)
        self._backlog.keep_refused(parcels)

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _wait_while_setting_aside(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing, left_s)
                closing = self._closing
            self._set_aside_queue()
            if closing:
                time.sleep(min(left_s, _FIRST_PAUSE_S))
                return

    def _set_aside_queue(self) -> None:
        while self._queue:
            self._set_aside()

    def _set_aside(self) -> None:
        with self._changed:
            number, group = self._take_group()
            if not group:
                return
            entry = self._backlog.reserve(number, group)
        self._backlog.settle(entry)

    def _keep(self) -> None:
        """Sets groups aside as long as the queue is too long for memory."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._queued_bytes > HIGH_WATER_BYTES or self._closing
                )
                if self._closing:
                    return
            self._set_aside()


def _find_opening(log: AppendLog, lane: Lane) -> bool:
    """Settles a lane's id by the run in the log that the same recording has opened, if any."""
    if lane.broken is not None:
        return False
    asked_for = lane.request_id
    while rows := log.read_run(lane.request_id, limit=1):
        if _recording_of(rows[0]) == lane.key:
            lane.opened = True
            return True
        lane.take_next_id()
    lane.request_id = asked_for
    return False


def _recording_of(first: LoggedEvent) -> str | None:
    """The recording that opened a run; None where that cannot be told."""
    try:
        event = first.event
    except ValueError:  # a row that was tampered with
        return None
    return event.recording if isinstance(event, Opened) else None
