"""Streams the service sends: known while they go on, broken off when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Scope, Send

from api.proxy.client import Client


class Streams:
    """The streams under way on one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    async def serve(
        self,
        play: Callable[[Client], Awaitable[None]],
        scope: Scope,
        send: Send,
    ) -> None:
        """Plays to a client until it has all, leaves or is dropped, or the service ends."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)

        def left() -> None:
            task.cancel()

        with Client(scope, send, left) as client:
            try:
                if self._is_stopping:
                    await client.break_off()
                else:
                    await play(client)
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
