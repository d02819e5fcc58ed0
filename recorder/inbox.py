"""The inbox of the log writer: parcels in the order they were sent.

Chunks of a body are sent as they came and read by whoever takes them out, the writer's thread or its
helper's, not by the sender, who has a stream to hand on. A chunk can only be read after those before it,
so one thread at a time takes, see `Inbox.taking`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from recorder.backlog import give_up
from recorder.lanes import Parcel

HIGH_WATER_BYTES: Final = 32 * 1024 * 1024
"""More than this waiting, because the log hangs or is slower than what comes, is set aside by a second
thread. A stream of 80,000 events of 400 B passes before that, and takes nothing of its time for us."""

MAX_UNREAD_BYTES: Final = 48 * 1024 * 1024
"""More than this waiting unread is read by its senders: only then it is known what there is to give up."""

MAX_QUEUED_BYTES: Final = 96 * 1024 * 1024
"""More than this waiting is given up."""

_NO_ROOM: Final = "no room while the log hangs"


class Inbox:
    """Parcels that wait to be taken, and what they weigh.

    Args:
        changed: Its lock guards everything here.

    Attributes:
        taking: Held by whoever takes or reads parcels. Acquired before the lock, never with it held.
        size_bytes: What all that waits takes in memory.
        unread_bytes: How much of that are chunks nobody has read yet.
        awaited: How many parcels somebody waits for.
        waiting: How many events wait, see `Parcel.waiting`.
        sent: How many parcels were ever sent.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.taking = threading.Lock()
        self.size_bytes = 0
        self.unread_bytes = 0
        self.awaited = 0
        self.waiting = 0
        self.sent = 0
        self._changed = changed
        self._parcels: deque[Parcel] = deque()
        self._unread: deque[Parcel] = deque()  # those of them that are

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def is_high(self) -> bool:
        """Whether more waits than the writer can be left alone with."""
        return self.size_bytes > HIGH_WATER_BYTES

    def put(self, parcel: Parcel) -> None:
        """Adds a parcel, or the gap that stands in for it where there is no room.

        Call it with the lock held, and `read_ahead` without.
        """
        no_room = self.size_bytes > MAX_QUEUED_BYTES and parcel.unread is None
        for each in give_up([parcel], _NO_ROOM) if no_room else [parcel]:
            self._add(each)

    def _add(self, parcel: Parcel) -> None:
        self._parcels.append(parcel)
        self.sent += 1
        self.waiting += parcel.waiting
        self.size_bytes += parcel.size_bytes
        self.awaited += parcel.acknowledged is not None
        if parcel.unread is not None:
            self._unread.append(parcel)
            self.unread_bytes += parcel.size_bytes

    def take(self, most_events: int, most_bytes: int) -> tuple[list[Parcel], int]:
        """Takes what comes first and reads it, up to the parcel that reaches a limit.

        Call it with `taking` held.

        Returns:
            The parcels that hold anything, and how many were taken.
        """
        group: list[Parcel] = []
        taken = events = size_bytes = 0
        while events < most_events and size_bytes < most_bytes:
            parcel = self._pop()
            if parcel is None:
                break
            taken += 1
            parcel.read()
            if not parcel.is_void:
                group.append(parcel)
                events += len(parcel.events)
                size_bytes += parcel.size_bytes
        return group, taken

    def _pop(self) -> Parcel | None:
        with self._changed:
            if not self._parcels:
                return None
            parcel = self._parcels.popleft()
            self.waiting -= parcel.waiting
            self.size_bytes -= parcel.size_bytes
            self.awaited -= parcel.acknowledged is not None
            if parcel.unread is not None:
                self._unread.popleft()
                self.unread_bytes -= parcel.size_bytes
            return parcel

    def read_ahead(self) -> None:
        """Reads the oldest chunks where they are as long as more is unread than may be.

        What finds no room then is given up. Not to be called with the lock held.
        """
        if self.unread_bytes <= MAX_UNREAD_BYTES:
            return
        with self.taking:
            while self.unread_bytes > MAX_UNREAD_BYTES:
                self._read_oldest()

    def _read_oldest(self) -> None:
        parcel = self._unread[0]  # nobody else removes one, and none is added before it
        unread_bytes, unread = parcel.size_bytes, parcel.waiting
        parcel.read()
        with self._changed:
            self._unread.popleft()
            self.waiting += parcel.waiting - unread
            self.unread_bytes -= unread_bytes
            self.size_bytes += parcel.size_bytes - unread_bytes
            if self.size_bytes > MAX_QUEUED_BYTES:
                self._give_up_in_place(parcel)

    def _give_up_in_place(self, parcel: Parcel) -> None:
        kept = give_up([parcel], _NO_ROOM)
        if parcel in kept:
            return
        self.waiting -= parcel.waiting
        self.size_bytes -= parcel.size_bytes
        parcel.events, parcel.size_bytes = [], 0
        parcel.loss = kept[0].loss if kept else None
        self.waiting += parcel.waiting
