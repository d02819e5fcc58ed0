"""Durable appends, against the bare driver writing the same rows with the same durability."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial

from bench.material import batches, frame, prepared, sqlite_file
from bench.measure import Result, compare
from bench.peer import SqlitePeer
from recorder.events import NewEvent
from recorder.store.appending import SQLITE
from recorder.store.log import SqlLog
from recorder.writer import LogWriter

SIZES = (400, 4_096)
SHAPES = ((1, 2_000), (100, 40_000), (1_000, 100_000))
GOALS = {1: 0.7, 100: 0.7, 1_000: 0.0}


def results(rounds: int) -> Iterator[Result]:
    """SQLite, by size of event and of transaction; then a hundred producers."""
    for size in SIZES:
        for batch, events in SHAPES:
            count = events if size == SIZES[0] else events // 4
            yield compare(
                f"append, SQLite, {size} B, {batch} a transaction",
                "events/s",
                {
                    "recorder (chain, all columns)": partial(ours, size, count, batch),
                    "bare sqlite3, WAL FULL": partial(bare, size, count, batch),
                    "eventsourcing": partial(peer, size, count, batch),
                },
                goals={"bare sqlite3, WAL FULL": GOALS[batch]} if GOALS[batch] else {},
                rounds=rounds,
            )
    for producers in (1, 10, 100):
        yield compare(
            f"append, SQLite, 400 B, {producers} producers that each wait for their receipt",
            "events/s",
            {
                "recorder": partial(waiting, producers),
                "fdatasync of the disk": fdatasyncs,
                "eventsourcing": partial(peer_waiting, producers),
            },
            goals={"fdatasync of the disk": 6.0, "eventsourcing": 8.0} if producers == 100 else {},
            rounds=rounds,
        )
    yield compare(
        "latency of an acknowledged append, 100 producers, p99",
        "ms",
        {"recorder": p99_ms},
        rounds=rounds,
    )


def ours(size_bytes: int, events: int, batch: int) -> float:
    """Through the log, one transaction a batch."""
    groups = batches(size_bytes, events, batch)
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        log = SqlLog(database)
        started = time.perf_counter()
        for group in groups:
            log.append(group)
        return events / (time.perf_counter() - started)


def bare(size_bytes: int, events: int, batch: int) -> float:
    """The same rows, into the same table without our triggers, by the driver alone."""
    raw = frame(size_bytes)
    groups = [
        [bare_row(position, raw) for position in range(start + 1, start + batch + 1)]
        for start in range(0, events, batch)
    ]
    with sqlite_file() as path, prepared(f"sqlite:///{path}"):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        _drop_triggers(connection)
        started = time.perf_counter()
        for group in groups:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(SQLITE.insert, group)
            connection.execute("COMMIT")
        took_s = time.perf_counter() - started
        connection.close()
        return events / took_s


def bare_row(position: int, raw: bytes) -> tuple[object, ...]:
    """What a row looks like to the driver."""
    run, seq = position % 50, position // 50
    return (
        position,
        f"run-{run}",
        seq,
        "completion",
        "stable_diffusion_xl",
        "fal-ai/fast-sdxl",
        None,
        1_795_414_635_647_972,
        123_456,
        raw,
        b"s" * 16,
        b"d" * 32,
        b"c" * 32,
    )


def _drop_triggers(connection: sqlite3.Connection) -> None:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")


def waiting(producers: int) -> float:
    """Events/s of producers on a SQLite log."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        return producers_waiting(SqlLog(database), producers)[0]


def p99_ms() -> float:
    """How long the slowest percent of a hundred producers' events waited for their receipt."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        return producers_waiting(SqlLog(database), 100)[1]


def peer(size_bytes: int, events: int, batch: int) -> float:
    """The library `eventsourcing` on SQLite."""
    with SqlitePeer() as other:
        return other.batches(frame(size_bytes), events, batch)


def peer_waiting(producers: int) -> float:
    """The same producers on `eventsourcing`."""
    with SqlitePeer() as other:
        return other.producers(frame(400), producers)


def producers_waiting(log: SqlLog, producers: int, *, seconds: float = 1.5) -> tuple[float, float]:
    """Producers that wait for each event's receipt: events/s, and the p99 of the wait in ms."""
    raw = frame(400)
    waits: list[list[float]] = [[] for _ in range(producers)]
    writer = LogWriter(log)
    stop = time.perf_counter() + seconds

    def produce(number: int) -> None:
        seq = 0
        while (begun := time.perf_counter()) < stop:
            event = NewEvent(f"run-{number}", seq, "completion", raw, 1, 1, "node", "app")
            writer.submit([event]).result()
            waits[number].append(time.perf_counter() - begun)
            seq += 1

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(producers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - started
    writer.close()
    flat = [wait for each in waits for wait in each]
    return len(flat) / took_s, statistics.quantiles(flat, n=100)[98] * 1_000


def fdatasyncs() -> float:
    """How many small appends to a file this disk makes durable in a second."""
    with tempfile.NamedTemporaryFile(prefix="bench-") as file:
        started = time.perf_counter()
        for _ in range(1_000):
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
        return 1_000 / (time.perf_counter() - started)
