"""The queue itself: first come, first served, to a fixed number of runners."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from emulator.execution import Event
from emulator.json_text import write_json
from emulator.outcome import CANCELLED, RUNNER_LOST, Outcome
from emulator.problems import Invalid
from emulator.queue.requests import QueuedRequest
from emulator.settings import QueueSettings
from emulator.wire import Cut


class Queue:
    """Requests by id: waiting, in progress, and ended as long as their results are kept.

    Everything happens on the event loop of the server.

    Args:
        settings: How many runners, and how much is kept.
        on_end: Told of every request that has ended, cancelled ones too.
    """

    def __init__(self, settings: QueueSettings, on_end: Callable[[QueuedRequest], None]) -> None:
        self._settings = settings
        self._on_end = on_end
        self._requests: dict[str, QueuedRequest] = {}
        self._waiting: dict[str, QueuedRequest] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._kept_bytes = 0
        self._changed = asyncio.Event()

    def submit(self, request: QueuedRequest) -> int:
        """Let a request in, and start it if a runner is free.

        Returns:
            How many requests were ahead of it in the queue.
        """
        ahead = len(self._waiting)
        self._requests[request.id] = request
        self._waiting[request.id] = request
        self._start_waiting()
        return ahead

    def find(self, request_id: str) -> QueuedRequest | None:
        """The request, or None when there never was one or its result is no longer kept."""
        return self._requests.get(request_id)

    def position(self, request: QueuedRequest) -> int:
        """How many requests are ahead of it; 0 for one that waits no longer."""
        return list(self._waiting).index(request.id) if request.id in self._waiting else 0

    def cancel(self, request: QueuedRequest) -> bool:
        """Take a request out of the queue, or tell its runner to stop.

        Returns:
            False when it has already ended.
        """
        if request.state == "COMPLETED":
            return False
        if self._waiting.pop(request.id, None) is not None:
            self._end(request, CANCELLED)
        elif not request.cancelled:
            request.cancelled = True
            self._running[request.id].cancel()
        return True

    async def updates(
        self, request: QueuedRequest, queue_url: str, *, with_logs: bool
    ) -> AsyncGenerator[dict[str, Any]]:
        """The status now and after every change, until the request has ended.

        Each carries the logs since the one before: the JavaScript client adds them up.
        """
        told: tuple[str, int, int] | None = None
        logs_told = 0
        while True:
            changed = self._changed
            position = self.position(request)
            now = (request.state, position, len(request.logs) if with_logs else 0)
            if now != told:
                logs = request.logs[logs_told:] if with_logs else None
                yield request.status(position, queue_url, logs)
                told, logs_told = now, now[2]
            elif request.state == "COMPLETED":
                return
            else:
                await changed.wait()

    async def close(self) -> None:
        """Stop the runners; their requests never end."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._settings.runners:
            request = self._waiting.pop(next(iter(self._waiting)))
            request.state = "IN_PROGRESS"
            self._running[request.id] = asyncio.create_task(self._run(request))
        self._announce()

    async def _run(self, request: QueuedRequest) -> None:
        started = time.perf_counter()
        try:
            outcome = await self._play(request)
        except asyncio.CancelledError:
            if not request.cancelled:
                raise
            outcome = CANCELLED
        finally:
            del self._running[request.id]
        request.inference_s = round(time.perf_counter() - started, 6)
        self._end(request, outcome)
        self._start_waiting()

    async def _play(self, request: QueuedRequest) -> Outcome:
        last: Event = {}
        try:
            async with aclosing(request.play()) as events:
                async for event in events:
                    request.note(event)
                    self._announce()
                    last = event
        except Invalid as error:
            return Outcome(422, error.below(("body",)).as_json())
        except Cut:
            return RUNNER_LOST
        return Outcome.of(last)

    def _end(self, request: QueuedRequest, outcome: Outcome) -> None:
        request.outcome = outcome
        request.state = "COMPLETED"
        self._keep(request.id, len(write_json(outcome.body)))
        self._announce()
        self._on_end(request)

    def _keep(self, request_id: str, size_bytes: int) -> None:
        self._kept[request_id] = size_bytes
        self._kept_bytes += size_bytes
        while len(self._kept) > 1 and self._over_limits():
            dropped, dropped_bytes = self._kept.popitem(last=False)
            self._kept_bytes -= dropped_bytes
            del self._requests[dropped]

    def _over_limits(self) -> bool:
        limits = self._settings
        return len(self._kept) > limits.kept_results or self._kept_bytes > limits.kept_bytes

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
