"""Producers that wait for the receipt of every event, against the disk and against a library."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

from bench.material import frame, prepared, sqlite_file
from bench.measure import Result, compare
from bench.peer import SqlitePeer
from recorder.events import NewEvent
from recorder.store.log import SqlLog
from recorder.writer import LogWriter

SECONDS = 1.5
RAW = frame(400)
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
