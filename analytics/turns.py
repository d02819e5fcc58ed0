"""Whose turn it is to use the memory that all questions of a process share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb

_Answer = TypeVar("_Answer")


class Turns:
    """Lets questions run beside each other, and one that found too little memory left run alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting_for_all = 0

    def take(self, work: Callable[[], _Answer]) -> _Answer:
        """Does the work, once more and alone should memory run out beside others.

        Raises:
            duckdb.OutOfMemoryException: It does not fit by itself.
        """
        try:
            with self._beside_others():
                return work()
        except duckdb.OutOfMemoryException:
            pass
        with self._alone():
            return work()

    @contextmanager
    def _beside_others(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_for_all)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting_for_all += 1
            self._changed.wait_for(lambda: not self._running)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._waiting_for_all -= 1
                self._changed.notify_all()
