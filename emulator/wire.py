"""A run on the wire: the event stream, the plain answer, and connections that break on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emulator.execution import Event
from emulator.json_text import write_json
from emulator.outcome import Outcome
from emulator.settings import StreamFaults
from recorder import sse

NEWLINE = "\r\n"
TRANSPORT = "emulator.transport"
"""The ASGI extension under which the server offers its `asyncio.Transport`."""

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Cut(Exception):
    """The connection is to be broken here."""


class JsonAnswer(Response):
    """JSON in the same spelling as the streams."""

    media_type = "application/json"

    def __init__(self, value: Any, status: int = 200, *, ensure_ascii: bool = True) -> None:
        text = write_json(value, ensure_ascii=ensure_ascii)
        super().__init__(text, status_code=status)


@dataclass
class RunAnswer:
    """An ASGI application that plays events, as a stream or (a run's) as a single JSON answer.

    It ends early when the client leaves, when the server stops or when a fault asks for a cut; the
    run's tasks are then cancelled. A stream that did not reach its end is never ended cleanly.
    """

    events: AsyncGenerator[Event]
    faults: StreamFaults
    streamed: bool
    stopping: asyncio.Event
    ping_interval_s: float = 15.0
    ensure_ascii: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play the run and see to it that nothing of it is left behind."""
        play = self._stream(send) if self.streamed else self._answer(scope, receive, send)
        finished = await _first(play, _client_gone(receive), self.stopping.wait())
        if finished is None:
            return
        transport = scope.get("extensions", {}).get(TRANSPORT)
        if transport is None:
            raise finished
        # close() still sends what is buffered, so exactly the events before the cut arrive
        transport.close() if isinstance(finished, Cut) else transport.abort()
        await _client_gone(receive)

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        sent_events = 0
        await _stall_or_cut(self.faults, sent_events)
        async with aclosing(_with_pings(self.events, self.ping_interval_s)) as chunks:
            async for event in chunks:
                if event is None:
                    await _write(send, ping())
                    continue
                frame = self._frame(event)
                if sent_events == self.faults.cut_after_events:
                    await _write(send, frame[: self.faults.cut_extra_bytes])
                    raise Cut
                await _write(send, frame)
                sent_events += 1
                await _stall_or_cut(self.faults, sent_events)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        last: Event = {}
        async with aclosing(unstreamed(self.events, self.faults)) as events:
            async for event in events:
                last = event
        end = Outcome.of(last)
        answer = JsonAnswer(end.body, end.status, ensure_ascii=self.ensure_ascii)
        await answer(scope, receive, send)

    def _frame(self, event: Event) -> bytes:
        return sse.encode(write_json(event, ensure_ascii=self.ensure_ascii), newline=NEWLINE)


def ping() -> bytes:
    """A keep-alive comment with the current time."""
    return sse.comment(f"ping - {datetime.now(UTC)}", newline=NEWLINE)


async def unstreamed(events: AsyncGenerator[Event], faults: StreamFaults) -> AsyncGenerator[Event]:
    """The events of a run that nobody streams, stalling where its faults say so.

    Raises:
        Cut: the faults break the run here.
    """
    async with aclosing(events):
        seen = 0
        await _stall_or_cut(faults, seen)
        async for event in events:
            if seen == faults.cut_after_events:
                raise Cut
            yield event
            seen += 1
            await _stall_or_cut(faults, seen)


async def _stall_or_cut(faults: StreamFaults, events: int) -> None:
    if events == faults.stall_after_events:
        await asyncio.sleep(faults.stall_s)
    if events == faults.cut_after_events and not faults.cut_extra_bytes:
        raise Cut


async def _write(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(
    play: Coroutine[Any, Any, None], gone: Coroutine[Any, Any, None], stop: Coroutine[Any, Any, Any]
) -> Exception | None:
    """Play until done, until the client is gone or the server stops; then end the other two.

    Returns:
        None when the answer is complete or nobody listens any more, else why the connection has to
        be broken.
    """
    playing, leaving, stopping = (asyncio.create_task(coro) for coro in (play, gone, stop))
    tasks: list[asyncio.Task[Any]] = [playing, leaving, stopping]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not playing.cancelled():
        return _cut_or_raise(playing)
    return ConnectionAbortedError("the server stops") if leaving.cancelled() else None


def _cut_or_raise(playing: asyncio.Task[None]) -> Cut | None:
    try:
        playing.result()
    except Cut as cut:
        return cut
    return None


async def _with_pings(
    events: AsyncGenerator[Event], interval_s: float
) -> AsyncGenerator[Event | None]:
    """The events, and None every ``interval_s`` in which the reader was free to take it."""
    loop = asyncio.get_running_loop()
    due = loop.time() + interval_s
    async with aclosing(events):
        while True:
            upcoming = asyncio.ensure_future(anext(events, None))
            try:
                while not (await asyncio.wait({upcoming}, timeout=max(0, due - loop.time())))[0]:
                    due = loop.time() + interval_s
                    yield None
            finally:
                await _settle(upcoming)
            event = upcoming.result()
            if event is None:
                return
            yield event


async def _settle(upcoming: asyncio.Future[Event | None]) -> None:
    """Leave nothing running behind: an unfinished step of the generator blocks its closing."""
    if not upcoming.done():
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
