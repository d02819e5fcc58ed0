"""Segments: how fast they are written, what reading through them costs, and how much memory that takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb

from analytics import engine
from analytics.asking import snapshot, text_of
from analytics.segments.exporter import Exporter
from analytics.segments.folder import LocalFolder
from analytics.selection import Selection
from bench.columns_material import STEPS_PER_RUN, Material, add_tail, material
from bench.material import prepared, sqlite_file
from bench.measure import Result, compare
from bench.rebuilding import fill
from recorder.projector import Projector
from recorder.store.engine import Database
from recorder.store.log import SqlLog
from tests.postgres import running_postgres

RUNS = 10_000

SIZES = (1_000_000, 10_000_000)
BY = {"by_workflow": True, "by_node": True, "by_app": True}


def results(rounds: int) -> Iterator[Result]:
    """Export, then the latency question over a million steps and over ten, then memory."""
    with sqlite_file() as path, prepared(f"sqlite:///{path}") as database:
        yield _export("SQLite", database, rounds)
    with running_postgres() as server:
        name = server.create()
        with prepared(server.url(name)) as database:
            yield _export("PostgreSQL", database, rounds)
        server.drop(name)
    for steps in SIZES:
        with material(steps) as made:
            add_tail(made)
            yield compare(
                f"latency by workflow, node and app, {steps:,} steps, tail included",
                "s",
                {"recorder": partial(ours, made), "DuckDB on the same files": floor(made)},
                rounds=rounds,
            )
            if steps == SIZES[0]:
                yield compare(
                    "from commit to an answer that has it", "ms",
                    {"recorder": partial(_visible_ms, made)}, rounds=rounds,
                )  # fmt: skip
    name = f"peak memory of a process that asks over {SIZES[-1]:,} steps"
    yield Result(name, "MiB", {"recorder": _peak_mib(SIZES[-1])}, {}, 1)


def _export(kind: str, database: Database, rounds: int) -> Result:
    fill(database, runs=RUNS, nodes=STEPS_PER_RUN)
    Projector(database, SqlLog(database)).catch_up()
    steps = RUNS * STEPS_PER_RUN
    return compare(
        f"export of {steps:,} steps and their runs, {kind}",
        "steps/s",
        {
            "recorder": lambda: _rate(database, steps, time.perf_counter),
            "of processor time": lambda: _rate(database, steps, time.process_time),
        },
        rounds=rounds,
    )


def _rate(database: Database, steps: int, clock: Callable[[], float]) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        exporter = Exporter(database, LocalFolder(Path(folder)), grace_s=0.0, polite_s=0.0)
        exporter.start_over()
        started = clock()
        exporter.catch_up()
        return steps / (clock() - started)


def ours(made: Material) -> float:
    """Opens a snapshot and asks."""
    started = time.perf_counter()
    with snapshot(made.archive, Selection()) as opened:
        opened.ask("latency", BY)
    return time.perf_counter() - started


def floor(made: Material) -> Callable[[], float]:
    """The same SQL on the same files, nothing else; the connection is there already."""
    bare = engine.connect(None, [made.folder])
    view = f"CREATE OR REPLACE TEMP VIEW steps AS SELECT * FROM read_parquet({made.paths('steps')})"
    return partial(_ask_bare, bare, view)


def _ask_bare(bare: duckdb.DuckDBPyConnection, view: str) -> float:
    started = time.perf_counter()
    bare.execute(view)
    bare.sql(text_of("latency"), params=BY).to_arrow_table()
    return time.perf_counter() - started


def _visible_ms(made: Material) -> float:
    log = SqlLog(made.database)
    fill(made.database, runs=1, name=f"fresh-{time.monotonic_ns()}")
    started = time.perf_counter()
    reached = Projector(made.database, log).catch_up().position
    with snapshot(made.archive, Selection()) as opened:
        opened.ask("run_latency")
        assert opened.as_of_position == reached
    return (time.perf_counter() - started) * 1_000


def _peak_mib(steps: int) -> float:
    command = [sys.executable, "-m", "bench.segments_peak", str(steps)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
