"""Playing a run to a client: from the log, at a pace, and on from there while it is still going."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from anyio import to_thread
from starlette.types import Receive, Scope, Send

from api.live import PING_S, Live
from api.proxy.client import Client
from api.streams import Streams
from recorder import replay, sse
from recorder.documents import Closed
from recorder.events import LoggedEvent
from recorder.replay import Pace
from recorder.store.log import EventLog

PING: Final = sse.comment("ping")
_BATCH: Final = 1_000


class Playing(msgspec.Struct, frozen=True):
    """How a run is to be played.

    Attributes:
        after_seq: Events above this are played.
        pace: How fast.
        raw: The exact bytes, status and faults included; else well-formed blocks.
    """

    after_seq: int = -1
    pace: Pace = Pace()
    raw: bool = False


class Score(msgspec.Struct, frozen=True):
    """What to play, and how.

    Attributes:
        request_id: The run.
        playing: How.
        before_us: When the event before the first one came; the first wait counts from there.
        status: The answer's.
        headers: The same.
    """

    request_id: str
    playing: Playing
    before_us: int = 0
    status: int = 200
    headers: list[tuple[bytes, bytes]] = []


class _Note(msgspec.Struct, frozen=True):
    """Events that are due together, ready to be written.

    Attributes:
        seq, elapsed_us: Of the last one.
        data: What they add, as far as nothing is missing.
        closed: The run's end, where it is among them.
        is_missing: Whether something is.
    """

    seq: int
    elapsed_us: int
    data: bytes
    closed: Closed | None = None
    is_missing: bool = False


class Player:
    """An ASGI app that plays a score once.

    Args:
        log: Where the run is.
        live: Where it goes on.
        streams: Knows of all that is being played.
        score: What to play.
    """

    def __init__(self, log: EventLog, live: Live, streams: Streams, score: Score) -> None:
        self._log = log
        self._live = live
        self._streams = streams
        self._score = score

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Plays."""
        await self._streams.serve(self._play, scope, send)

    async def _play(self, client: Client) -> None:
        await client.begin(self._score.status, self._score.headers)
        playing = _Playing(client, self._score)
        async for notes in self._notes():
            if not notes:
                await playing.ping()
                continue
            await playing.play(notes)
            if playing.has_ended:
                return
        await client.end()  # the client has it all

    async def _notes(self) -> AsyncIterator[list[_Note]]:
        """The run's events in batches, as they can be had; an empty one for each long wait.

        Ends only where a closed run has nothing more to begin with.
        """
        score = self._score
        after_seq = score.playing.after_seq
        while True:
            while notes := await to_thread.run_sync(self._read, after_seq):
                yield notes
                after_seq = notes[-1].seq
            last = await to_thread.run_sync(self._log.last_of_run, score.request_id)
            if last is None or (last.seq <= after_seq and last.type == "closed"):
                return
            if last.seq <= after_seq:
                break
        async for batch in self._live.follow(last.position):
            mine = [
                logged
                for logged in batch
                if logged.request_id == score.request_id and logged.seq > after_seq
            ]
            if mine or not batch:
                yield self._written(mine)

    def _read(self, after_seq: int) -> list[_Note]:
        return self._written(self._log.read_run(self._score.request_id, after_seq, _BATCH))

    def _written(self, batch: list[LoggedEvent]) -> list[_Note]:
        write = replay.raw if self._score.playing.raw else replay.well_formed
        if not batch:
            return []
        if self._score.playing.pace.speed is None:
            return [_note(batch, write)]
        return [_note([logged], write) for logged in batch]


def _note(events: list[LoggedEvent], write: Callable[[LoggedEvent], bytes]) -> _Note:
    pieces: list[bytes] = []
    is_missing = False
    try:
        for logged in events:
            pieces.append(write(logged))  # noqa: PERF401  # those before a missing one count
    except LookupError:
        is_missing = True
    last = events[-1]
    closed = last.event if last.type == "closed" else None
    return _Note(
        last.seq,
        last.elapsed_us,
        b"".join(pieces),
        closed if isinstance(closed, Closed) else None,
        is_missing,
    )


class _Playing:
    """A score being played to a client."""

    def __init__(self, client: Client, score: Score) -> None:
        self.has_ended = False
        self._client = client
        self._score = score
        self._loop = asyncio.get_running_loop()
        self._started_s: float | None = None  # when there was something to play
        self._played_us = 0
        self._before_us = score.before_us

    async def ping(self) -> None:
        """Shows that there is nothing new; the exact bytes of a body cannot say so."""
        if not self._score.playing.raw:
            await self._client.write(PING)

    async def play(self, notes: list[_Note]) -> None:
        """Plays events when they are due, and the run's end if it is among them."""
        if self._started_s is None:
            self._started_s = self._loop.time()
        for note in notes:
            self._played_us += self._score.playing.pace.wait_us(self._before_us, note.elapsed_us)
            self._before_us = note.elapsed_us
            await self._wait_until(self._started_s + self._played_us / 1_000_000)
            if note.data:
                await self._client.write(note.data)
            if note.is_missing:
                await self._break_off()
                return
            if note.closed is not None:
                await self._end(note.closed)

    async def _wait_until(self, due_s: float) -> None:
        while (left_s := due_s - self._loop.time()) > 0:
            await asyncio.sleep(min(left_s, PING_S))
            if left_s > PING_S:
                await self.ping()

    async def _end(self, closed: Closed) -> None:
        if self._score.playing.raw and not replay.ended_whole(closed):
            await self._break_off()
            return
        self.has_ended = True
        await self._client.end()

    async def _break_off(self) -> None:
        self.has_ended = True
        await self._client.break_off()
