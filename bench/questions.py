"""The questions over a million steps and over ten, against hand-written SQL and against other databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
from sqlalchemy import make_url

from analytics import engine
from analytics.archive import Archive
from analytics.asking import snapshot
from analytics.question import Asked, Question
from bench.columns_material import Material, material
from bench.measure import Result, compare
from bench.question_floors import MEASURED, PRICES, Measured
from recorder.clock import SystemClock
from tests.postgres import running_postgres

SIZES = (1_000_000, 10_000_000)
FLOOR = "DuckDB, hand-written, same files"


def results(rounds: int) -> Iterator[Result]:
    """Every question at both sizes, its memory at the larger, and latency on other databases."""
    for steps in SIZES:
        with material(steps) as made:
            for measured in MEASURED:
                yield _against_floor(made, measured, steps, rounds)
                name = f"{measured.name}, {steps:,} steps, memory"
                yield Result(name, "MiB", {"recorder": _peak_mib(made, measured.name)}, {}, 1)
            if steps == SIZES[0]:
                yield from _against_databases(made, rounds)


def _against_floor(made: Material, measured: Measured, steps: int, rounds: int) -> Result:
    sides: dict[str, Callable[[], float]] = {
        "recorder": partial(ask_ms, made.archive, measured.question)
    }
    if measured.floor is not None:
        sides[FLOOR] = _floor(made, measured.floor)
    return compare(f"{measured.name}, {steps:,} steps", "ms", sides, rounds=rounds)


def ask_ms(archive: Archive, question: Question) -> float:
    """Opens a snapshot and asks; milliseconds."""
    started = time.perf_counter()
    with snapshot(archive, question.selection) as opened:
        question.answer(Asked(opened, now_us=SystemClock().now_us(), prices=lambda: PRICES))
    return (time.perf_counter() - started) * 1_000


def _floor(made: Material, sql: str) -> Callable[[], float]:
    scratch = Path(tempfile.mkdtemp(dir=made.folder.parent))
    bare = engine.connect(scratch, [made.folder])
    for kind in ("runs", "steps"):
        files = engine.literal(made.paths(kind))
        bare.execute(f"CREATE TEMP VIEW {kind} AS SELECT * FROM read_parquet({files})")

    def ask() -> float:
        started = time.perf_counter()
        bare.sql(sql).to_arrow_table()
        return (time.perf_counter() - started) * 1_000

    return ask


def _against_databases(made: Material, rounds: int) -> Iterator[Result]:
    rows = pq.read_table(made.paths("steps"), columns=["app_id", "status", "duration_us"])
    taken = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    with closing(sqlite3.connect(":memory:")) as lite, running_postgres() as server:
        lite.execute("CREATE TABLE steps (app_id TEXT, status TEXT, duration_us INTEGER)")
        lite.executemany("INSERT INTO steps VALUES (?, ?, ?)", taken)
        name = server.create()
        url = make_url(server.url(name)).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as postgres:
            postgres.execute("CREATE TABLE steps (app_id text, status text, duration_us bigint)")
            with postgres.cursor().copy("COPY steps FROM STDIN") as copy:
                for row in taken:
                    copy.write_row(row)
            postgres.execute("ANALYZE steps")
            question = MEASURED[0].question
            yield compare(
                "latency by app, 1,000,000 steps, against other databases",
                "ms",
                {
                    "recorder": partial(ask_ms, made.archive, question),
                    "SQLite, window function": partial(_timed, lite.execute, _LITE),
                    "PostgreSQL, percentile_cont": partial(_timed, postgres.execute, _POSTGRES),
                },
                rounds=min(rounds, 3),
            )
        server.drop(name)


_LITE = """
SELECT app_id, n, max(duration_us) FILTER (WHERE place = 1 + (n - 1) * 50 / 100),
    max(duration_us) FILTER (WHERE place = 1 + (n - 1) * 90 / 100),
    max(duration_us) FILTER (WHERE place = 1 + (n - 1) * 95 / 100),
    max(duration_us) FILTER (WHERE place = 1 + (n - 1) * 99 / 100)
FROM (
    SELECT app_id, duration_us,
        row_number() OVER (PARTITION BY app_id ORDER BY duration_us) AS place,
        count(*) OVER (PARTITION BY app_id) AS n
    FROM steps WHERE status = 'completed'
)
GROUP BY app_id
"""
_POSTGRES = """
SELECT app_id, count(*), percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99])
    WITHIN GROUP (ORDER BY duration_us)
FROM steps WHERE status = 'completed' GROUP BY app_id
"""


def _timed(execute: Callable[[str], sqlite3.Cursor], sql: str) -> float:
    started = time.perf_counter()
    execute(sql).fetchall()
    return (time.perf_counter() - started) * 1_000


def _peak_mib(made: Material, name: str) -> float:
    """The most memory a process ever had that asked once."""
    url = made.database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "bench.questions_peak", url, str(made.folder), name]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
