"""Following the log from the event loop: one reader for all followers of a process.

A thread reads what is committed, once, and hands it to a window in memory; followers at the head take it
from there, and those further behind read the log themselves. It runs while there are followers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from recorder.errors import LogError
from recorder.events import LoggedEvent
from recorder.store.log import EventLog
from recorder.tail import POLL_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("api")

PING_S: Final = 15.0
"""A follower that has nothing to read is told so after this."""

BATCH: Final = 500
_WINDOW_BYTES: Final = 8 * 1024 * 1024
_WINDOW_EVENTS: Final = 10_000
_AGAIN_S: Final = 1.0


class Live:
    """The log's newest events, for followers on one event loop.

    Args:
        log: What to follow.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._window: list[LoggedEvent] = []
        self._window_bytes = 0
        self._before_window = 0  # everything above this position and committed is in the window
        self._news = asyncio.Event()
        self._followers = 0
        self._stop: threading.Event | None = None

    @property
    def followers(self) -> int:
        """How many follow now."""
        return self._followers

    async def position(self) -> int:
        """The end of the log as of now."""
        head = await to_thread.run_sync(self._log.head)
        return head.position

    async def follow(self, after: int) -> AsyncIterator[list[LoggedEvent]]:
        """Events above a position in order, each once, none missed; an empty list for each long wait."""
        with self._following():
            while True:
                news = self._news
                batch = self._from_window(after)
                if batch is None:
                    batch = await to_thread.run_sync(self._log.read, after, BATCH)
                if batch:
                    after = batch[-1].position
                    yield batch
                    continue
                try:
                    await asyncio.wait_for(news.wait(), PING_S)
                except TimeoutError:
                    yield []

    def _from_window(self, after: int) -> list[LoggedEvent] | None:
        """What the window holds above a position; None where that is not all there is."""
        if self._stop is None or after < self._before_window:
            return None
        start = after - self._before_window  # positions are dense
        return self._window[start : start + BATCH]

    @contextmanager
    def _following(self) -> Iterator[None]:
        self._followers += 1
        if self._stop is None:
            self._begin()
        try:
            yield
        finally:
            self._followers -= 1
            if self._followers == 0:
                self._end()

    def _begin(self) -> None:
        # Until the thread has found the head, followers read the log themselves.
        self._before_window = 2**63
        self._stop = threading.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._read, args=(loop, self._stop), name="live", daemon=True
        ).start()

    def _end(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self._stop = None
            self._log.commits.nudge()
        self._window.clear()
        self._window_bytes = 0

    def _read(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        after: int | None = None
        while not stop.is_set():
            try:
                if after is None:
                    after = self._log.head().position
                    loop.call_soon_threadsafe(self._start_window, stop, after)
                batch = self._log.read(after, BATCH)
            except LogError as error:
                _log.warning("live tails wait for the log: %s", error)
                stop.wait(_AGAIN_S)
                continue
            except RuntimeError:  # the loop is gone
                return
            if batch:
                after = batch[-1].position
                try:
                    loop.call_soon_threadsafe(self._extend, stop, batch)
                except RuntimeError:
                    return
            else:
                self._log.commits.wait_beyond(after, POLL_S)

    def _start_window(self, stop: threading.Event, position: int) -> None:
        if stop is self._stop:
            self._window.clear()
            self._window_bytes = 0
            self._before_window = position
            self._tell()

    def _extend(self, stop: threading.Event, batch: list[LoggedEvent]) -> None:
        if stop is not self._stop:
            return
        self._window.extend(batch)
        self._window_bytes += sum(len(logged.frame or b"") for logged in batch)
        if self._window_bytes > _WINDOW_BYTES or len(self._window) > _WINDOW_EVENTS:
            self._drop(len(self._window) // 2 or 1)
        self._tell()

    def _drop(self, count: int) -> None:
        """Forgets the oldest events; whoever is still before them reads the log."""
        dropped = self._window[:count]
        del self._window[:count]
        self._window_bytes -= sum(len(logged.frame or b"") for logged in dropped)
        self._before_window = dropped[-1].position

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
