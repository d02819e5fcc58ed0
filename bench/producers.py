"""Producers that wait for the receipt of every event, against the disk and against a library."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

from bench.appending import bare_connection, bare_row
from bench.material import frame, prepared, sqlite_file
from bench.measure import Result, compare
from bench.peer import SqlitePeer
from recorder.events import NewEvent
from recorder.store.appending import SQLITE
from recorder.store.log import SqlLog
from recorder.writer import LogWriter

SECONDS = 1.5
RAW = frame(400)
FLOOR = "bare sqlite3 behind a group commit"
GOALS = {"fdatasync of the disk": 6.0, "eventsourcing (threads)": 8.0}

Load = Callable[[SqlLog, int], tuple[float, float]]
"""Puts load on a log by so many producers: events/s, and the p99 of their waits in ms."""


def results(rounds: int) -> Iterator[Result]:
    """On SQLite: threads, coroutines of one event loop, and such a loop with other work to do."""
    kinds: tuple[tuple[str, Load], ...] = (("threads", threads), ("coroutines", coroutines))
    for producers in (1, 10, 100):
        for kind, load in kinds:
            yield compare(
                f"append, SQLite, 400 B, {producers} {kind} that each wait for their receipt",
                "events/s",
                {
                    "recorder": partial(rate, load, producers),
                    **({FLOOR: partial(floor, producers)} if kind == "coroutines" else {}),
                    "fdatasync of the disk": fdatasyncs,
                    "eventsourcing (threads)": partial(peer, producers),
                },
                goals=GOALS if producers == 100 else {},
                rounds=rounds,
            )
    kinds = (*kinds, ("coroutines of a loop busy with 50 sockets", busy_coroutines))
    for kind, load in kinds:
        yield compare(
            f"wait for a receipt, 100 {kind}, p99",
            "ms",
            {"recorder": partial(p99_ms, load)},
            rounds=rounds,
        )


def rate(load: Load, producers: int) -> float:
    """Events/s on a SQLite log."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        return load(SqlLog(database), producers)[0]


def p99_ms(load: Load) -> float:
    """How long the slowest percent of a hundred producers' events waited."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        return load(SqlLog(database), 100)[1]


def peer(producers: int) -> float:
    """The same producers on the library `eventsourcing`, which serves threads only."""
    with SqlitePeer() as other:
        return other.producers(RAW, producers, seconds=SECONDS)


def fdatasyncs() -> float:
    """How many small appends to a file this disk makes durable in a second."""
    with tempfile.NamedTemporaryFile(prefix="bench-") as file:
        started = time.perf_counter()
        for _ in range(1_000):
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
        return 1_000 / (time.perf_counter() - started)


def threads(log: SqlLog, producers: int) -> tuple[float, float]:
    """Producers that are threads."""
    writer = LogWriter(log)
    waits: list[float] = []
    stop = time.perf_counter() + SECONDS

    def produce(number: int) -> None:
        seq = 0
        while (begun := time.perf_counter()) < stop:
            writer.submit([_event(number, seq)]).result()
            waits.append(time.perf_counter() - begun)
            seq += 1

    running = [threading.Thread(target=produce, args=(n,)) for n in range(producers)]
    begun = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    took_s = time.perf_counter() - begun
    writer.close()
    return _figures(waits, took_s)


def coroutines(log: SqlLog, producers: int) -> tuple[float, float]:
    """Producers that are coroutines of one event loop."""
    return _coroutines(log, producers, [])


def busy_coroutines(log: SqlLog, producers: int) -> tuple[float, float]:
    """The same while the loop is never idle: it passes bytes from socket to socket."""
    return _coroutines(log, producers, [_pass_bytes] * 50)


def floor(producers: int) -> float:
    """Coroutines whose rows a thread inserts in groups, without chain, checks or triggers.

    No log of this table can be faster on this machine.
    """
    with sqlite_file() as path, prepared(f"sqlite:///{path}"):
        return asyncio.run(_BareGroups(path).rate(producers))


class _BareGroups:
    """The least a group commit does."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._queue: deque[tuple[asyncio.Future[None], tuple[object, ...]]] = deque()
        self._changed = threading.Condition()
        self._ended = False

    async def rate(self, producers: int) -> float:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._commit_groups, args=(loop,))
        thread.start()
        stop = time.perf_counter() + SECONDS
        counts = await asyncio.gather(*(self._produce(n, stop) for n in range(producers)))
        with self._changed:
            self._ended = True
            self._changed.notify()
        thread.join()
        return sum(counts) / SECONDS

    async def _produce(self, number: int, stop: float) -> int:
        loop, seq, end = asyncio.get_running_loop(), 0, bare_row(1, RAW)[3:]
        while time.perf_counter() < stop:
            done: asyncio.Future[None] = loop.create_future()
            with self._changed:
                self._queue.append((done, (f"run-{number}", seq, *end)))
                self._changed.notify()
            await done
            seq += 1
        return seq

    def _commit_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        position = 0
        connection = bare_connection(self._path)
        while group := self._take():
            rows = [(position + n, *row) for n, (_, row) in enumerate(group, 1)]
            position += len(rows)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(SQLITE.insert, rows)
            connection.execute("COMMIT")
            loop.call_soon_threadsafe(_answer, [done for done, _ in group])
        connection.close()

    def _take(self) -> list[tuple[asyncio.Future[None], tuple[object, ...]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            return [self._queue.popleft() for _ in range(len(self._queue))]


def _answer(waiting: list[asyncio.Future[None]]) -> None:
    for each in waiting:
        each.set_result(None)


def _coroutines(
    log: SqlLog, producers: int, others: list[Callable[[float], Coroutine[None, None, None]]]
) -> tuple[float, float]:
    writer = LogWriter(log)
    waits: list[float] = []
    stop = time.perf_counter() + SECONDS

    async def produce(number: int) -> None:
        seq = 0
        while (begun := time.perf_counter()) < stop:
            await writer.submit_async([_event(number, seq)])
            waits.append(time.perf_counter() - begun)
            seq += 1

    async def main() -> None:
        await asyncio.gather(*(work(stop) for work in others), *map(produce, range(producers)))

    begun = time.perf_counter()
    asyncio.run(main())
    took_s = time.perf_counter() - begun
    writer.close()
    return _figures(waits, took_s)


async def _pass_bytes(stop: float) -> None:
    here, there = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=here)
    reader, other = await asyncio.open_connection(sock=there)
    while time.perf_counter() < stop:
        writer.write(RAW)
        await reader.read(65_536)
    writer.close()
    other.close()


def _event(number: int, seq: int) -> NewEvent:
    return NewEvent(f"run-{number}", seq, "completion", RAW, 1, 1, "node", "app")


def _figures(waits: list[float], took_s: float) -> tuple[float, float]:
    return len(waits) / took_s, statistics.quantiles(waits, n=100)[98] * 1_000
