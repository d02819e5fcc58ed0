"""The log writer: one thread that commits what everybody sends, together.

Group commit without an artificial delay: while one transaction is being made durable, events of all
streams queue up, and the next transaction takes all of them. An append is acknowledged after its
commit, never before.

While the log is away, groups are set aside, in the spool if there is one, and delivered in order when
it is back. Senders never wait: what finds no room anywhere is given up, and a `gap` with its count
stands in for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from recorder.backlog import Backlog, give_up
from recorder.delivery import Delivery
from recorder.errors import LogUnavailable, WriterClosed
from recorder.events import NewEvent
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

_GATHER_S: Final = 0.25
"""While the log is away, what is sent within this time shares a file of the spool."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0

_GRACE_S: Final = 0.5
"""An append under way gets as long as this to end, however short the timeout of closing is."""


class _Abandoned(BaseException):
    """Ends the writer's thread when the log answers after all, too late."""


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
        self._under_way: tuple[int | None, Delivery] | None = (
            None  # None: the backlog's first group
        )
        self._asks = False  # is in a call of the log, which may hang
        self._abandoned = False
        self._ended = False
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

    def submit_async(
        self, events: Sequence[NewEvent], *, lane: Lane | None = None
    ) -> asyncio.Future[list[Receipt]]:
        """`submit` for coroutines: returns a future of the running event loop.

        A transaction's answers wake the loop once, however many of its coroutines wait. Giving up
        the future does not take back the events.
        """
        acknowledged: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
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

        A log that hangs is not waited for longer: what is in the middle of being appended then counts
        as not committed, and the thread that hangs does not keep the process alive.

        Returns:
            Whether all was committed within the timeout. What was not is in the spool if there is
            one, for the next process to append; its senders are answered with `LogUnavailable`.
        """
        with self._changed:
            self._closing = True
            self._deadline = self._deadline or time.monotonic() + timeout_s
            self._changed.notify_all()
        if self._keeper is not None:
            self._keeper.join()
        if not self._abandoned:
            if self._hangs():
                self._set_aside_all()
            else:
                self._thread.join()
        return self._backlog.close(self._away or LogUnavailable("the log did not answer in time"))

    def _hangs(self) -> bool:
        """Waits for the thread to end; whether the log keeps it instead, so that it was abandoned."""
        with self._changed:
            assert self._deadline is not None
            left_s = max(self._deadline - time.monotonic(), _GRACE_S)
            self._changed.wait_for(lambda: self._ended, left_s)
            self._changed.wait_for(lambda: self._ended or self._asks)
            self._abandoned = not self._ended
            return self._abandoned

    def _set_aside_all(self) -> None:
        """Sets aside what the abandoned thread was appending, and what queues behind it."""
        assert self._under_way is not None
        number, delivery = self._under_way
        if number is None:
            self._backlog.keep_first(delivery.left)
        else:
            self._backlog.settle(self._backlog.reserve(number, delivery.left, first=True))
        self._set_aside_queue()

    def _send(self, parcel: Parcel) -> None:
        with self._changed:
            if self._closing:
                raise WriterClosed("the log writer is closed")
            no_room = self._queued_bytes > MAX_QUEUED_BYTES
            parcels = give_up([parcel], "no room while the log hangs") if no_room else [parcel]
            for each in parcels:
                self._queue.append(each)
                self._queued_bytes += each.size_bytes
            if len(self._queue) == 1 or self._queued_bytes > HIGH_WATER_BYTES:
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
        try:
            self._backlog.adopt()
            self._delivering = False
            self._deliver_all()
        except _Abandoned:
            return  # whoever abandoned us has taken all
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _deliver_all(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._work_to_do():
            delivered = self._deliver_backlog() if self._backlog else self._deliver_queue()
            if self._out_of_time():
                self._set_aside_queue()
                return
            if delivered:
                pause_s = _FIRST_PAUSE_S
            else:
                self._pause(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _work_to_do(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._backlog or self._closing)
            return bool(self._queue or self._backlog)

    def _deliver_backlog(self) -> bool:
        left = self._deliver(self._backlog.first(), None)
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
        left = self._deliver(group, number)
        if left:
            self._backlog.settle(self._backlog.reserve(number, left, first=True))
        self._delivering = False
        return not left

    def _deliver(self, group: list[Parcel], number: int | None) -> list[Parcel]:
        """Appends a group; returns what could not be, because the log is away."""
        delivery = Delivery(
            self._log, group, asking=self._asking, keep_refused=self._backlog.keep_refused
        )
        self._under_way = number, delivery
        try:
            delivery.run()
        except LogUnavailable as error:
            self._away = error
            _log.warning("log unavailable, %d parcels wait: %s", len(delivery.left), error)
        self._under_way = None
        return delivery.left

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around each call of the log; ends the thread if nobody waits for it any more."""
        with self._changed:
            self._asks = True
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._asks = False
                if self._abandoned:
                    raise _Abandoned

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

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _wait_while_setting_aside(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing, left_s)
                self._changed.wait_for(self._file_is_full, min(left_s, _GATHER_S))
                closing = self._closing
            self._set_aside_queue()
            if closing:
                time.sleep(min(left_s, _FIRST_PAUSE_S))
                return

    def _file_is_full(self) -> bool:
        return self._closing or self._queued_bytes > HIGH_WATER_BYTES

    def _set_aside_queue(self) -> None:
        """Sets aside what is queued by now; what comes meanwhile is for the next time."""
        left = len(self._queue)
        while left > 0 and (taken := self._set_aside()):
            left -= taken

    def _set_aside(self) -> int:
        """Sets a group aside; returns how many parcels that were."""
        with self._changed:
            number, group = self._take_group()
            if not group:
                return 0
            entry = self._backlog.reserve(number, group)
        taken = len(group)
        self._backlog.settle(entry)
        return taken

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
