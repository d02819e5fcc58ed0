"""Batches that do something while the log is taking them, the head row locked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from recorder.events import NewEvent
from tests.logs import WAIT_S


class ActingBatch(list[NewEvent]):
    """A batch that calls something once the log has looked at all of its events.

    By then the append holds the head row's lock; it has yet to commit.
    """

    def __init__(self, events: list[NewEvent], act: Callable[[], Any]) -> None:
        super().__init__(events)
        self._act = act

    def __iter__(self) -> Iterator[NewEvent]:
        yield from super().__iter__()
        self._act()


class HeldBatch(ActingBatch):
    """A batch whose append stands still before its commit, from `reached` until `release`."""

    def __init__(self, events: list[NewEvent]) -> None:
        self._reached = threading.Event()
        self._released = threading.Event()
        super().__init__(events, self._hold)

    def _hold(self) -> None:
        self._reached.set()
        assert self._released.wait(WAIT_S)

    def wait_until_held(self) -> None:
        assert self._reached.wait(WAIT_S)

    def release(self) -> None:
        self._released.set()
