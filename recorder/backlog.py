"""The backlog: groups of parcels that wait for the log, oldest first.

On the disk where there is a spool and it can be written, else in memory as far as there is room, else
given up, with a `gap` in their place.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from recorder.errors import LogError, LogUnavailable
from recorder.events import OWN_TYPES, NewEvent
from recorder.lanes import Lane, Parcel
from recorder.store.spool import Segment, Spool, SpooledEvent

_log = logging.getLogger(__name__)

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""What the backlog may keep in memory when the spool does not take it."""


class _Entry:
    """A group in the backlog.

    There may be hundreds of thousands in a long outage: what a segment tells is not kept beside it.
    """

    __slots__ = (
        "adopted",
        "counts",
        "lanes",
        "number",
        "parcels",
        "segment",
        "settling",
        "unread",
    )

    def __init__(self, number: int, parcels: list[Parcel], segment: Segment | None = None) -> None:
        self.number = number
        self.parcels = parcels
        self.segment = segment
        self.lanes: dict[str, Lane] | None = None  # whose events the segment holds, if not read yet
        self.adopted = False  # another process has written the segment
        self.counts = [len(parcel.events) for parcel in parcels]
        self.unread = 1  # events of the segment where it has not been read; 1 if that is not known
        self.settling = threading.Lock()  # held while it is being written to the disk

    def read(self, segment: Segment, lanes: dict[str, Lane]) -> None:
        """Makes parcels of the segment's events, once."""
        self.lanes = None
        parcel_of = _adopted if self.adopted else _own
        self.parcels = [parcel_of(spooled, lanes) for spooled in _read(segment)]
        self.counts = [len(parcel.events) for parcel in self.parcels]

    @property
    def waiting(self) -> int:
        return self.unread if self.lanes is not None else sum(self.counts)

    @property
    def held_bytes(self) -> int:
        return sum(parcel.size_bytes for parcel in self.parcels)


class Backlog:
    """Groups in order. The writer takes from the front, it and its helper add at the back.

    Args:
        spool: Where groups go; None for memory only.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._entries: deque[_Entry] = deque()
        self._lock = threading.Lock()
        self._number = 0
        self._adopted: set[Path] = set()
        self._lanes: dict[str, Lane] = {}  # of this process, with events in segments

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def waiting(self) -> int:
        """How many events wait; a segment of another process counts as one until it is read."""
        with self._lock:
            entries = list(self._entries)
        return sum(entry.waiting for entry in entries)

    def next_number(self) -> int:
        """A number for a group, when it is taken from the queue: groups are ordered by it."""
        with self._lock:
            self._number += 1
            return self._number

    def reserve(self, number: int, parcels: list[Parcel], *, first: bool = False) -> _Entry:
        """Takes a place for a group, at the back or before all others."""
        entry = _Entry(number, parcels)
        entry.settling.acquire()
        with self._lock:
            if first:
                self._entries.appendleft(entry)
            else:
                self._entries.append(entry)
        return entry

    def settle(self, entry: _Entry) -> None:
        """Brings a reserved group to the disk, or does what can be done instead."""
        try:
            if self._spool is None or not self._write(self._spool, entry):
                self._hold(entry)
        finally:
            entry.settling.release()

    def first(self) -> list[Parcel]:
        """The oldest group, its events at hand."""
        with self._lock:
            entry = self._entries[0]
        with entry.settling:
            if entry.segment is None:
                return entry.parcels
            if entry.lanes is not None:
                entry.read(entry.segment, entry.lanes)
            else:
                _reload(entry, entry.segment)
            return entry.parcels

    def keep_first(self, left: list[Parcel]) -> None:
        """Notes what of the oldest group is still to be delivered."""
        with self._lock:
            entry = self._entries[0]
        entry.parcels = left
        entry.counts = [len(parcel.events) for parcel in left]

    def drop_first(self) -> None:
        """Forgets the oldest group: it is delivered."""
        with self._lock:
            entry = self._entries.popleft()
            if not self._entries:
                self._lanes = {}
        if entry.segment is not None:
            _clear(entry.segment)

    def adopt(self) -> None:
        """Takes over what processes that are gone have left in the spool."""
        if self._spool is None:
            return
        lanes: dict[str, Lane] = {}
        try:
            left = self._spool.adopt()
        except Exception as error:  # whatever it is, the log can be written without a spool
            _log.error("the spool cannot be read: %s", error)
            return
        for segment in left:
            if segment.path in self._adopted:
                continue
            _log.warning("appending what another process left in %s", segment.path.name)
            self._adopted.add(segment.path)
            entry = _Entry(0, [], segment)
            entry.lanes, entry.adopted = lanes, True
            with self._lock:
                self._entries.append(entry)

    def keep_refused(self, parcels: Iterable[Parcel]) -> None:
        """Keeps what the log refused for good, for people to look at."""
        events = list(chain.from_iterable(map(_spooled, parcels)))
        if self._spool is None or not events:
            return
        try:
            self._spool.keep_refused(events)
        except Exception as error:
            _log.error("refused events could not be kept: %s", error)

    def close(self, why: LogUnavailable | None) -> bool:
        """Ends; returns whether nothing was left.

        Args:
            why: What the log last said; those who still wait are told so.
        """
        left = list(self._entries)
        for entry in left:
            # What the spool once refused to take has been in memory only.
            if self._spool is not None and entry.segment is None:
                self._write(self._spool, entry)
        for parcel in chain.from_iterable(entry.parcels for entry in left):
            parcel.answer(why or LogUnavailable("the log is away"))
        if self._spool is not None:
            with suppress(Exception):
                self._spool.close()
        return not left

    def _write(self, spool: Spool, entry: _Entry) -> bool:
        events = list(chain.from_iterable(_spooled(parcel) for parcel in entry.parcels))
        try:
            entry.segment = spool.write(entry.number, events)
        except Exception as error:
            # As text: the error's traceback holds the events, and a handler may keep what it gets.
            _log.error("the spool cannot be written: %s", str(error))
            return False
        _release(entry, self._lanes)
        return True

    def _hold(self, entry: _Entry) -> None:
        with self._lock:
            held = sum(each.held_bytes for each in self._entries if each.segment is None)
        if held > MAX_HELD_BYTES:
            entry.parcels = give_up(entry.parcels, "no room in memory, spool or log")
            entry.counts = [len(parcel.events) for parcel in entry.parcels]
        else:
            _seal(entry.parcels)


def give_up(parcels: Iterable[Parcel], reason: str) -> list[Parcel]:
    """Replaces events by the gaps that stand in for them; `opened` and `closed` are kept."""
    kept: list[Parcel] = []
    for parcel in parcels:
        if parcel.is_marker:
            kept.append(parcel)
        elif parcel.lane is None:
            parcel.answer(LogUnavailable(f"given up: {reason}"))
        elif parcel.loss is not None or parcel.events[0].type in OWN_TYPES:
            parcel.lane.seal()
            kept.append(parcel)
        else:
            gap = parcel.lane.lose(parcel.events, reason)
            parcel.answer(LogUnavailable(f"given up: {reason}"))
            if gap is not None:  # once for all that follow each other
                _log.error("run %s: events are given up: %s", parcel.lane.request_id, reason)
                kept.append(gap)
    return kept


def _seal(parcels: Iterable[Parcel]) -> None:
    for parcel in parcels:
        if parcel.lane is not None:
            parcel.lane.seal()


def _spooled(parcel: Parcel) -> list[SpooledEvent]:
    lane = parcel.lane
    if lane is None:
        return [SpooledEvent(None, True, event.seq, event) for event in parcel.events]
    if parcel.loss is None:
        lane.seal()
    senders: Sequence[NewEvent] = parcel.events or parcel.addressed()
    return [
        SpooledEvent(lane.key, lane.opened, final.seq, _named(event, lane))
        for final, event in zip(parcel.addressed(), senders, strict=True)
    ]


def _named(event: NewEvent, lane: Lane) -> NewEvent:
    """The event under the id of its run, once that is final; senders may know an earlier one."""
    if not lane.opened or event.request_id == lane.request_id:
        return event
    return msgspec.structs.replace(event, request_id=lane.request_id)


def _read(segment: Segment) -> list[SpooledEvent]:
    """What can be read of a segment; another process may have delivered and deleted it."""
    try:
        return list(segment.read())
    except OSError as error:
        _log.error("a file of the spool cannot be read: %s", error)
        return []


def _clear(segment: Segment) -> None:
    """Deletes a segment, or keeps it for people to look at if some of it could not be read."""
    try:
        if segment.is_whole():
            segment.delete()
        else:
            _log.error("%s is damaged; what could be read of it is appended", segment.path.name)
            segment.set_apart()
    except FileNotFoundError:
        pass  # another process has delivered it too
    except OSError as error:
        _log.error("a file of the spool cannot be deleted: %s", error)


def _release(entry: _Entry, lanes: dict[str, Lane]) -> None:
    """Drops from memory what the segment has; parcels stay only where somebody waits for them."""
    for parcel in entry.parcels:
        parcel.events = []
        if parcel.lane is not None:
            lanes[parcel.lane.key] = parcel.lane
    if all(parcel.is_plain for parcel in entry.parcels):
        entry.unread = sum(entry.counts)
        entry.parcels, entry.counts, entry.lanes = [], [], lanes


def _reload(entry: _Entry, segment: Segment) -> None:
    if all(
        len(parcel.events) == count
        for parcel, count in zip(entry.parcels, entry.counts, strict=True)
    ):
        return
    events = (spooled.event for spooled in _read(segment))
    readable = []
    for parcel, count in zip(entry.parcels, entry.counts, strict=True):
        if parcel.loss is not None:
            next(events, None)
        else:
            parcel.events = list(islice(events, count))
        if parcel.loss is not None or len(parcel.events) == count:
            readable.append(parcel)
        else:
            parcel.refuse(LogError(f"{segment.path.name} is damaged"))
    entry.parcels = readable
    entry.counts = [len(parcel.events) for parcel in readable]


def _own(spooled: SpooledEvent, lanes: dict[str, Lane]) -> Parcel:
    lane = None if spooled.lane is None else lanes[spooled.lane]
    return Parcel(lane, [spooled.event])


def _adopted(spooled: SpooledEvent, lanes: dict[str, Lane]) -> Parcel:
    event = msgspec.structs.replace(spooled.event, seq=spooled.seq)
    if spooled.lane is None:
        return Parcel(None, [event])
    lane = lanes.setdefault(
        spooled.lane, Lane(event.request_id, key=spooled.lane, opened=spooled.opened)
    )
    lane.opened = lane.opened or spooled.opened
    return Parcel(lane, [event])
