"""Tells waiting readers that the log has grown."""

from __future__ import annotations

import threading
from typing import Final

CHANNEL: Final = "recorder_log"
"""Where appends on PostgreSQL tell other processes of their commits; see `recorder.store.listening`."""


class CommitSignal:
    """A position that only grows, and a way to wait for it to pass a mark.

    It knows of this process's commits only; a reader that must see other processes' commits waits
    with a timeout and looks.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._position = 0
        self._nudges = 0
        self._waiting = 0

    def reached(self, position: int) -> None:
        """Notes that everything up to `position` is committed; wakes those who wait."""
        with self._condition:
            if position > self._position:
                self._position = position
                if self._waiting:
                    self._condition.notify_all()

    def wait_beyond(self, position: int, timeout_s: float) -> None:
        """Returns once a position beyond this one is committed, or after the timeout."""
        with self._condition:
            nudges = self._nudges
            self._waiting += 1
            try:
                self._condition.wait_for(
                    lambda: self._position > position or self._nudges != nudges, timeout_s
                )
            finally:
                self._waiting -= 1

    def nudge(self) -> None:
        """Wakes everybody who waits, without news; they look round and go on."""
        with self._condition:
            self._nudges += 1
            self._condition.notify_all()
