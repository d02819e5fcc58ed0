"""Durable appends, against the bare driver writing the same rows with the same durability."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from functools import partial

from bench.material import batches, frame, prepared, sqlite_file
from bench.measure import Result, compare
from bench.peer import SqlitePeer
from recorder.store.appending import SQLITE
from recorder.store.log import SqlLog

SIZES = (400, 4_096)
SHAPES = ((1, 2_000), (100, 40_000), (1_000, 100_000))
GOALS = {1: 0.7, 100: 0.7, 1_000: 0.0}


def results(rounds: int) -> Iterator[Result]:
    """SQLite, by size of event and of transaction."""
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
        connection = bare_connection(path)
        started = time.perf_counter()
        for group in groups:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(SQLITE.insert, group)
            connection.execute("COMMIT")
        took_s = time.perf_counter() - started
        connection.close()
        return events / took_s


def bare_connection(path: str) -> sqlite3.Connection:
    """The driver alone, durable as ours is, on a table without our triggers."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    _drop_triggers(connection)
    return connection


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


def peer(size_bytes: int, events: int, batch: int) -> float:
    """The library `eventsourcing` on SQLite."""
    with SqlitePeer() as other:
        return other.batches(frame(size_bytes), events, batch)
