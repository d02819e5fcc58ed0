"""Streams the service sends: known while they go on, broken off when it ends or nobody takes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from api.proxy.client import Client, StalledClient

_log = logging.getLogger("api")

STALL_S: Final = 60.0
"""A client that takes nothing for so long is dropped; it can go on from its last id."""


class Streams:
    """The streams under way on one event loop.

    Args:
        stall_s: See `STALL_S`.
    """

    def __init__(self, *, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    async def serve(
        self,
        play: Callable[[Client], Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Plays to a client until it has all, leaves, stalls, or the service ends."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)

        def left() -> None:
            task.cancel()

        with Client(scope, receive, send, left, stall_s=self._stall_s) as client:
            try:
                if not self._is_stopping:
                    await play(client)
                else:
                    await client.break_off()
            except StalledClient:
                path = scope["path"]
                _log.warning("a reader of %s is dropped: it took nothing for a while", path)
                await client.break_off(at_once=True)
            except asyncio.CancelledError:
                if not (client.has_left or self._is_stopping):
                    raise
                task.uncancel()
                await client.break_off()
            finally:
                self._tasks.discard(task)

    def stop(self) -> None:
        """Breaks off all streams: clients come back, and go on from their last id. Idempotent."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
