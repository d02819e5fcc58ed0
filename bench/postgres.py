"""Appends on PostgreSQL, against psycopg writing the same rows with the same durability."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import psycopg
from sqlalchemy import make_url

from bench.appending import SIZES, bare_row
from bench.material import batches, frame, prepared
from bench.measure import Result, compare
from bench.peer import PostgresPeer
from bench.producers import Load, coroutines, threads
from recorder.store.appending import COPY_EVENTS, POSTGRES
from recorder.store.log import SqlLog
from tests.postgres import PostgresServer, running_postgres

COPY_TYPES = (
    "int8", "text", "int8", "text", "text", "text", "text", "int8", "int8",
    "bytea", "bytea", "bytea", "bytea",
)  # fmt: skip
SHAPES = ((1, 1_000), (100, 20_000), (1_000, 60_000))
COPY_FLOOR = "psycopg COPY"
INSERT_FLOOR = "psycopg executemany"


def results(rounds: int) -> Iterator[Result]:
    """By size of event and of transaction, then a hundred producers."""
    with running_postgres() as server:
        for size in SIZES:
            for batch, events in SHAPES:
                count = events if size == SIZES[0] else events // 4
                copies = batch == SHAPES[-1][0]
                floor = COPY_FLOOR if copies else INSERT_FLOOR
                sides = {
                    "recorder (chain, all columns)": partial(ours, server, size, count, batch),
                    floor: partial(bare, server, size, count, batch),
                }
                if not copies:  # with 1,000 events a transaction its pipeline stood still
                    sides["eventsourcing"] = partial(peer, server, size, count, batch)
                yield compare(
                    f"append, PostgreSQL, {size} B, {batch} a transaction",
                    "events/s",
                    sides,
                    goals={floor: 0.7} if copies else {},
                    rounds=rounds,
                )
        kinds: tuple[tuple[str, Load], ...] = (("threads", threads), ("coroutines", coroutines))
        for kind, load in kinds:
            yield compare(
                f"append, PostgreSQL, 400 B, 100 {kind} that each wait for their receipt",
                "events/s",
                {
                    "recorder": partial(waiting, server, load),
                    "eventsourcing (threads)": partial(peer_waiting, server),
                },
                goals={"eventsourcing (threads)": 8.0},
                rounds=rounds,
            )


def ours(server: PostgresServer, size_bytes: int, events: int, batch: int) -> float:
    """Through the log, one transaction a batch."""
    groups = batches(size_bytes, events, batch)
    name = server.create()
    with prepared(server.url(name)) as database:
        log = SqlLog(database)
        started = time.perf_counter()
        for group in groups:
            log.append(group)
        took_s = time.perf_counter() - started
    server.drop(name)
    return events / took_s


def bare(server: PostgresServer, size_bytes: int, events: int, batch: int) -> float:
    """The same rows by the driver alone: COPY for large batches, INSERT for small ones."""
    raw = frame(size_bytes)
    groups = [
        [bare_row(position, raw) for position in range(start + 1, start + batch + 1)]
        for start in range(0, events, batch)
    ]
    name = server.create()
    with prepared(server.url(name)):
        pass
    url = make_url(server.url(name)).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.commit()
        started = time.perf_counter()
        for group in groups:
            _insert(connection, group, copies=batch == SHAPES[-1][0])
            connection.commit()
        took_s = time.perf_counter() - started
    server.drop(name)
    return events / took_s


def _insert(
    connection: psycopg.Connection, rows: list[tuple[object, ...]], *, copies: bool
) -> None:
    with connection.cursor() as cursor:
        if not copies:
            cursor.executemany(POSTGRES.insert.encode(), rows)
            return
        with cursor.copy(COPY_EVENTS.encode() + b" (FORMAT BINARY)") as copy:
            copy.set_types(COPY_TYPES)
            for row in rows:
                copy.write_row(row)


def peer(server: PostgresServer, size_bytes: int, events: int, batch: int) -> float:
    """The library `eventsourcing` on the same server."""
    with PostgresPeer(server) as other:
        return other.batches(frame(size_bytes), events, batch)


def waiting(server: PostgresServer, load: Load) -> float:
    """A hundred producers through the log writer."""
    name = server.create()
    with prepared(server.url(name)) as database:
        rate, _ = load(SqlLog(database), 100)
    server.drop(name)
    return rate


def peer_waiting(server: PostgresServer) -> float:
    """A hundred producers through `eventsourcing`."""
    with PostgresPeer(server) as other:
        return other.producers(frame(400), 100)
