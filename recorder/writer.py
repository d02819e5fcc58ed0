"""The log writer: one thread that commits what everybody sends, together.

Group commit: while one transaction is being made durable, events of all streams queue up, and the next
transaction takes all of them. An append is acknowledged after its commit, never before. What somebody
waits for is not delayed; after a transaction nobody waited for, the writer rests a little, so that more
comes together, and the streams it records have the processor.

While the log is away, groups are set aside, in the spool if there is one, and delivered in order when
it is back. Senders never wait: what finds no room anywhere is given up, and a `gap` with its count
stands in for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from recorder.backlog import Backlog
from recorder.delivery import Delivery
from recorder.errors import LogUnavailable, WriterClosed
from recorder.events import NewEvent
from recorder.inbox import Inbox
from recorder.lanes import EVENT_OVERHEAD_BYTES, Lane, Parcel
from recorder.store.log import AppendLog, Receipt
from recorder.store.spool import Spool

__all__ = ["Lane", "LogWriter"]

_log = logging.getLogger(__name__)

MAX_BATCH_EVENTS: Final = 1_000
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A transaction takes no more than this, so that the head row is never locked for long."""

REST_S: Final = 0.02
"""From the beginning of one transaction nobody waited for to the next: a hundred streams share a commit then,
and fifty a second leave the streams nearly as they are alone. A process that is killed loses so much more."""

LONGEST_REST_S: Final = 0.25
"""The writer rests as long as it has worked while more keeps coming, but no longer than this."""

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
        self._changed = threading.Condition(threading.RLock())
        self._inbox = Inbox(self._changed)
        self._rests = False
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

    @property
    def waiting(self) -> int:
        """How many events were sent and are not in the log yet, in memory or in the spool.

        Of what is not read yet the number is not known: a chunk of a body counts as one event, and so does a
        file that another process has left in the spool.
        """
        under_way = self._under_way
        is_queues = under_way is not None and under_way[0] is not None
        left = under_way[1].left if under_way is not None and is_queues else []
        return self._inbox.waiting + self._backlog.waiting + sum(each.waiting for each in left)

    @property
    def is_busy(self) -> bool:
        """Whether something that was sent is neither in the log nor refused yet."""
        with self._changed:
            return bool(self._inbox or self._backlog or self._delivering)

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

    def post_unread(
        self, read: Callable[[], list[NewEvent]], size_bytes: int, *, lane: Lane
    ) -> None:
        """Like `post` for events that are still to be made, of a chunk of a body.

        Args:
            read: Makes them, later and in another thread, once, after those posted before. Must not raise.
            size_bytes: What the chunk takes in memory.
            lane: The run they belong to.

        Raises:
            WriterClosed: The writer has been closed.
        """
        self._send(Parcel(lane, [], size_bytes=size_bytes + EVENT_OVERHEAD_BYTES, unread=read))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until all that was sent before is committed or refused.

        Returns:
            Whether that was so within the timeout.
        """
        if not self.is_busy:
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
            self._inbox.put(parcel)
            is_high = self._inbox.is_high
            if is_high or (self._is_urgent() if self._rests else len(self._inbox) == 1):
                self._changed.notify_all()
            if is_high and self._keeper is None:
                keeper = threading.Thread(target=self._keep, name="log-keeper", daemon=True)
                keeper.start()  # should no thread be had, the next sender tries again
                self._keeper = keeper
        self._inbox.read_ahead()

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
            began_s, sent = time.monotonic(), self._inbox.sent
            delivered = self._deliver_backlog() if self._backlog else self._deliver_queue()
            if self._out_of_time():
                self._set_aside_queue()
                return
            if delivered:
                pause_s = _FIRST_PAUSE_S
                self._rest(time.monotonic() - began_s, more_came=self._inbox.sent > sent)
            else:
                self._pause(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _work_to_do(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._backlog or self._closing)
            return bool(self._inbox or self._backlog)

    def _rest(self, worked_s: float, *, more_came: bool) -> None:
        """Lets more come together, unless somebody waits; what is set aside needs no company."""
        rest_s = 0.0 if self._backlog else REST_S - worked_s
        if more_came:  # faster than it is written, maybe: those who send it have the first turn
            rest_s = max(rest_s, min(worked_s, LONGEST_REST_S))
        with self._changed:
            self._rests = True
            self._changed.wait_for(self._is_urgent, max(rest_s, 0.0))
            self._rests = False

    def _is_urgent(self) -> bool:
        return self._inbox.awaited > 0 or self._closing

    def _deliver_backlog(self) -> bool:
        left = self._deliver(self._backlog.first(), None)
        if left:
            self._backlog.keep_first(left)
            return False
        self._backlog.drop_first()
        return True

    def _deliver_queue(self) -> bool:
        with self._inbox.taking:
            if self._backlog:  # the keeper has just set aside what comes before the queue
                return True
            self._delivering = True
            number = self._backlog.next_number()
            group, _ = self._inbox.take(MAX_BATCH_EVENTS, MAX_BATCH_BYTES)
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

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _wait_while_setting_aside(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._inbox or self._closing, left_s)
                self._changed.wait_for(self._file_is_full, min(left_s, _GATHER_S))
                closing = self._closing
            self._set_aside_queue()
            if closing:
                time.sleep(min(left_s, _FIRST_PAUSE_S))
                return

    def _file_is_full(self) -> bool:
        return self._closing or self._inbox.is_high

    def _set_aside_queue(self) -> None:
        """Sets aside what is queued by now; what comes meanwhile is for the next time."""
        left = len(self._inbox)
        while left > 0 and (taken := self._set_aside()):
            left -= taken

    def _set_aside(self) -> int:
        """Sets a group aside; returns how many parcels were taken for that."""
        with self._inbox.taking:
            group, taken = self._inbox.take(MAX_BATCH_EVENTS, MAX_BATCH_BYTES)
            if not group:
                return taken
            entry = self._backlog.reserve(self._backlog.next_number(), group)
        self._backlog.settle(entry)
        return taken

    def _keep(self) -> None:
        """Sets groups aside as long as the queue is too long for memory."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._inbox.is_high or self._closing)
                if self._closing:
                    return
            self._set_aside()
