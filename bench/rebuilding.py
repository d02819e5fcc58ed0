"""Folding the log anew, and how much memory that takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench.material import frame, prepared, sqlite_file
from bench.measure import Result, compare
from recorder.events import Closed, EventType, NewEvent, Opened, encode_document
from recorder.projector import rebuild
from recorder.store.engine import Database
from recorder.store.log import SqlLog

NODES = 3

RUNS = 6_000
RECEIVED_US = 1_795_414_635_647_972
MEMORY_AT_RUNS = (11_112, 111_112)
"""A hundred thousand events, and a million."""


def results(rounds: int) -> Iterator[Result]:
    """A log of runs with three steps each."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        events = fill(database, runs=RUNS)
        yield compare(
            f"rebuild of {events:,} events",
            "events/s",
            {
                "recorder": lambda: _rate(database, events, time.perf_counter),
                "of processor time": lambda: _rate(database, events, time.process_time),
            },
            rounds=max(1, rounds // 2),
        )
    for runs in MEMORY_AT_RUNS:
        with sqlite_file() as path:
            url = f"sqlite:///{path}"
            with prepared(url) as database:
                events = fill(database, runs=runs)
            name = f"what a rebuild of {events:,} events adds to a process"
            yield Result(name, "MiB", {"recorder": _grown_mib(url)}, {}, 1)


def fill(
    database: Database,
    *,
    runs: int,
    nodes: int = NODES,
    name: str = "run",
    at_us: int = RECEIVED_US,
) -> int:
    """Appends complete runs of so many steps, all received at one moment; returns how many events that is."""
    log = SqlLog(database)
    batch: list[NewEvent] = []
    events = 0
    for number in range(runs):
        batch += _run(f"{name}-{number}", nodes, at_us)
        if len(batch) >= 900 or number == runs - 1:
            log.append(batch)
            events += len(batch)
            batch = []
    return events


def _run(request_id: str, nodes: int, at_us: int) -> list[NewEvent]:
    opened = Opened(workflow="workflows/acme/poster", source="http", status=200)
    frames: list[tuple[EventType, bytes, str | None]] = [("opened", encode_document(opened), None)]
    for number in range(nodes):
        node = f"node_{number}"
        submit = f'data: {{"type": "submit", "node_id": "{node}", "app_id": "fal-ai/x"}}\r\n\r\n'
        frames += [("submit", submit.encode(), node), ("completion", frame(400), node)]
    frames.append(("output", b'data: {"type": "output", "output": {}}\r\n\r\n', None))
    frames.append(("closed", encode_document(Closed(reason="eof")), None))
    return [
        NewEvent(request_id, seq, kind, raw, at_us, seq * 1_000, node)
        for seq, (kind, raw, node) in enumerate(frames)
    ]


def _rate(database: Database, events: int, clock: Callable[[], float]) -> float:
    started = clock()
    rebuild(database, SqlLog(database))
    return events / (clock() - started)


def _grown_mib(url: str) -> float:
    command = [sys.executable, "-m", "tests.trust.rebuilding_process", url]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) / 2**20
