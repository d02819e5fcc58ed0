"""Lanes and parcels: what the log writer carries, and how it is addressed.

A recording numbers its events as it makes them. Two things may change on the way to the log: the run's
id, if another run has it already, and the numbers, if events had to be given up and one `gap` stands in
for them. Both are settled here, once, by whoever sends a parcel first.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence

import msgspec

from recorder import answers
from recorder.answers import Waiting
from recorder.events import Gap, NewEvent, encode_document
from recorder.store.log import Receipt

EVENT_OVERHEAD_BYTES = 300
"""What an event in memory weighs beside its frame, roughly; a chunk that is unread weighs as much."""


class _Loss(msgspec.Struct):
    """Events of a lane that were given up, one after the other."""

    first: NewEvent
    reason: str
    events: int = 0
    size_bytes: int = 0
    sealed: bool = False  # on its way to the log: it cannot grow any more
    moved_before: int = 0  # how far those before it move what comes after them, see `_Losses`

    @property
    def moved_after(self) -> int:
        """The same with this one."""
        return self.moved_before + self.events - 1

    def goes_on_with(self, event: NewEvent) -> bool:
        """Whether this event comes right after those lost, and can still be counted with them."""
        return not self.sealed and event.seq == self.first.seq + self.events

    def add(self, event: NewEvent) -> None:
        self.events += 1
        self.size_bytes += len(event.frame)


class _Losses:
    """A lane's losses by their numbers, and how far each moves what comes after it.

    There may be thousands, every event asks, and they come in two places at once: the oldest events that wait are
    given up by one thread and the newest by others. So what comes before a loss is counted when it is asked for.
    """

    def __init__(self) -> None:
        self._losses: list[_Loss] = []
        self._counted = 0  # for how many of them `moved_before` is right

    def __bool__(self) -> bool:
        return bool(self._losses)

    def add(self, loss: _Loss) -> None:
        """Takes a loss, in its place."""
        at = self._before(loss.first.seq)
        self._losses.insert(at, loss)
        self._counted = min(self._counted, at)

    def has_grown(self, loss: _Loss) -> None:
        """Takes note that a loss counts more events than before."""
        self._counted = min(self._counted, self._before(loss.first.seq) + 1)

    def moved(self, seq: int) -> int:
        """How much earlier an event stands, since one gap stands in for each loss before it."""
        before = self._before(seq)
        for at in range(self._counted, before):
            self._losses[at].moved_before = self._losses[at - 1].moved_after if at else 0
        self._counted = max(self._counted, before)
        return self._losses[before - 1].moved_after if before else 0

    def _before(self, seq: int) -> int:
        """How many losses begin before an event."""
        return bisect_left(self._losses, seq, key=lambda loss: loss.first.seq)


class Lane:
    """A run on its way into the log, and the id its events go by.

    Attributes:
        key: Names the lane, also across processes.
        request_id: The id asked for. Should that run be in the log already, the writer settles on
            the id with the next free suffix (`~2`, `~3`, …).
        opened: Whether the lane's `opened` event is committed and the id final. Until then the
            lane's other events wait: sent along, they could land in the run that has the id.
        broken: Why the log refused an event of the lane; what follows is refused likewise.
        last_receipt: Of the latest event committed.
    """

    def __init__(self, request_id: str, *, key: str | None = None, opened: bool = False) -> None:
        self.key = key or os.urandom(16).hex()
        self.request_id = request_id
        self.opened = opened
        self.broken: Exception | None = None
        self.last_receipt: Receipt | None = None
        self._asked_for = request_id
        self._suffix = 1
        self._latest: _Loss | None = None
        self._losses = _Losses()
        self._counting = threading.Lock()  # senders lose events while the writer sends a gap

    def take_next_id(self) -> None:
        """Moves on to the next suffix."""
        self._suffix += 1
        self.request_id = f"{self._asked_for}~{self._suffix}"

    def lose(self, events: Sequence[NewEvent], reason: str) -> Parcel | None:
        """Gives events up.

        Returns:
            A parcel with the `gap` that stands in for them; None if one that is still waiting does.
        """
        with self._counting:
            loss = self._latest
            grows = loss is not None and loss.goes_on_with(events[0])
            if loss is None or not grows:
                loss = self._latest = _Loss(events[0], reason)
                self._losses.add(loss)
            for event in events:
                loss.add(event)
            self._losses.has_grown(loss)
        return None if grows else Parcel(self, [], loss=loss)

    def seal(self) -> None:
        """Notes that something is kept after the latest loss, so that it cannot grow any more."""
        with self._counting:
            if self._latest is not None:
                self._latest.sealed = True

    def gap(self, loss: _Loss) -> NewEvent:
        """The event that stands in for a loss, which cannot grow from now on."""
        with self._counting:
            loss.sealed = True
        return _gap_event(self, loss)

    def final_seq(self, seq: int) -> int:
        """Where an event numbered `seq` by its recording stands, gaps taken into account."""
        if not self._losses:
            return seq
        with self._counting:
            return seq - self._losses.moved(seq)


class Parcel(msgspec.Struct, eq=False):
    """Events of one run, sent together; or the gap that stands in for lost ones.

    Attributes:
        lane: The run's lane; None for events that are addressed already.
        events: As the sender numbered them.
        unread: Makes the events, where they were sent as a chunk of a body. It must not raise, and chunks of
            one body are to be read in order.
        acknowledged: Answered after the commit; None if nobody asked.
        loss: What is lost, if this is a gap.
        delivered: Whether the log has taken or refused it.
        size_bytes: What it takes in memory.
    """

    lane: Lane | None
    events: list[NewEvent]
    acknowledged: Waiting | None = None
    loss: _Loss | None = None
    delivered: bool = False
    size_bytes: int = 0
    unread: Callable[[], list[NewEvent]] | None = None

    def __post_init__(self) -> None:
        for event in self.events:
            self.size_bytes += len(event.frame) + EVENT_OVERHEAD_BYTES

    def read(self) -> None:
        """Makes the events of a chunk; idempotent."""
        if self.unread is None:
            return
        self.events, self.unread = self.unread(), None
        self.size_bytes = 0
        self.__post_init__()

    @property
    def waiting(self) -> int:
        """How many events wait in it; a chunk nobody has read counts as one, and so does a gap."""
        return len(self.events) or int(self.unread is not None or self.loss is not None)

    @property
    def opens(self) -> bool:
        """Whether this is a lane's `opened` event."""
        return self.lane is not None and bool(self.events) and self.events[0].type == "opened"

    @property
    def is_marker(self) -> bool:
        """Whether this only marks a place in the queue."""
        return not self.events and self.loss is None

    @property
    def is_void(self) -> bool:
        """Whether there is nothing in it at all: a chunk of a body that completed no event."""
        return self.is_marker and self.acknowledged is None and self.unread is None

    @property
    def is_plain(self) -> bool:
        """Whether its events are all there is to it: nobody waits, and nothing is lost."""
        return self.lane is not None and self.acknowledged is None and self.loss is None

    @property
    def is_ready(self) -> bool:
        """Whether this can be appended; not before its lane's id is settled by another parcel."""
        if self.lane is None:
            return not self.is_marker
        return self.lane.opened or self.opens

    def addressed(self) -> list[NewEvent]:
        """The events under the id and the numbers they have in the log."""
        lane = self.lane
        if lane is None:
            return self.events
        if self.loss is not None:
            return [lane.gap(self.loss)]
        first = self.events[0]
        shift = first.seq - lane.final_seq(first.seq)
        if shift == 0 and first.request_id == lane.request_id:
            return self.events
        return [
            msgspec.structs.replace(event, request_id=lane.request_id, seq=event.seq - shift)
            for event in self.events
        ]

    def settle(self, receipts: Sequence[Receipt]) -> None:
        """Notes that the log has it; the sender is not answered yet."""
        self.delivered = True
        if self.lane is not None and receipts:
            self.lane.opened = True
            self.lane.last_receipt = receipts[-1]

    def refuse(self, error: Exception) -> None:
        """Notes that the log will never take it, nor what follows in the lane."""
        self.delivered = True
        if self.lane is not None:
            self.lane.broken = self.lane.broken or error
        self.answer(error)

    def answer(self, error: Exception) -> None:
        """Tells the sender that it did not go in."""
        if self.acknowledged is not None:
            answers.give([(self.acknowledged, error)])


def _gap_event(lane: Lane, loss: _Loss) -> NewEvent:
    document = Gap(lost_events=loss.events, lost_bytes=loss.size_bytes, reason=loss.reason)
    return NewEvent(
        request_id=lane.request_id,
        seq=lane.final_seq(loss.first.seq),
        type="gap",
        frame=encode_document(document),
        received_at=loss.first.received_at,
        elapsed_us=loss.first.elapsed_us,
    )
