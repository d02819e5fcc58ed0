"""Percentiles of latency by app and hour: the question over segments, against databases with the same rows in a table."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from analytics.asking import snapshot
from analytics.quantiles import ranks
from analytics.question import Asked
from analytics.questions.latency import Latency
from bench.columns_material import Material
from bench.measure import Result, compare
from tests.postgres import running_postgres

GOAL: Final = 15
_COLUMNS: Final = ["app_id", "opened_at", "status", "duration_us"]
_ASKED: Final = {
    "by": "app",
    "bucket": "hour",
    "measures": "duration",
    "percentiles": "50,95,99",
}

_SQLITE: Final = """
WITH ranked AS (
    SELECT
        app_id,
        opened_at / 3600000000 AS hour,
        duration_us,
        row_number() OVER groups - 1 AS place,
        count(*) OVER (PARTITION BY app_id, opened_at / 3600000000) AS n
    FROM steps
    WHERE status = 'completed'
    WINDOW groups AS (PARTITION BY app_id, opened_at / 3600000000 ORDER BY duration_us)
)
SELECT
    app_id,
    hour,
    n,
    sum(duration_us * max(0, 1 - abs(place - 0.50 * (n - 1)))),
    max(CASE WHEN place = low_50 - 1 THEN duration_us END),
    max(CASE WHEN place = high_50 - 1 THEN duration_us END),
    sum(duration_us * max(0, 1 - abs(place - 0.95 * (n - 1)))),
    max(CASE WHEN place = low_95 - 1 THEN duration_us END),
    max(CASE WHEN place = high_95 - 1 THEN duration_us END),
    sum(duration_us * max(0, 1 - abs(place - 0.99 * (n - 1)))),
    max(CASE WHEN place = low_99 - 1 THEN duration_us END),
    max(CASE WHEN place = high_99 - 1 THEN duration_us END)
FROM ranked JOIN ranks USING (n)
GROUP BY app_id, hour
"""
"""Exact: of the two neighbours of a percentile's place each counts by how near it is."""

_POSTGRESQL: Final = """
WITH sorted AS (
    SELECT
        app_id,
        opened_at / 3600000000 AS hour,
        count(*) AS n,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_us) AS told,
        array_agg(duration_us ORDER BY duration_us) AS us
    FROM steps
    WHERE status = 'completed'
    GROUP BY app_id, hour
)
SELECT
    app_id, hour, n, told[1], us[low_50], us[high_50], told[2], us[low_95], us[high_95], told[3], us[low_99], us[high_99]
FROM sorted JOIN ranks USING (n)
"""
"""One sort serves the percentiles and the bounds."""

_TABLE: Final = (
    "CREATE TABLE steps (app_id text, opened_at bigint, status text, duration_us bigint)"
)
_RANKS: Final = (
    "CREATE TABLE ranks (n bigint PRIMARY KEY, low_50 bigint, high_50 bigint, low_95 bigint, "
    "high_95 bigint, low_99 bigint, high_99 bigint)"
)
"""Of the bounds, for every size of group: there before the clock starts."""


def results(made: Material, rounds: int) -> Iterator[Result]:
    """All sides in turns, as answers an hour."""
    rows = pa.concat_tables(pq.read_table(path, columns=_COLUMNS) for path in made.paths("steps"))
    place = rows.schema.get_field_index("opened_at")
    rows = rows.set_column(place, "opened_at", rows.column("opened_at").cast(pa.int64()))
    with running_postgres() as server:
        name = server.create()
        with server.transaction(name) as postgres, sqlite3.connect(":memory:") as sqlite:
            _fill_postgres(postgres, rows)
            _fill_sqlite(sqlite, rows)
            yield compare(
                f"latency by app and hour, {rows.num_rows:,} steps",
                "answers/h",
                {
                    "recorder": partial(_ours, made),
                    "PostgreSQL": partial(_answers_an_hour, postgres, _POSTGRESQL),
                    "SQLite": partial(_answers_an_hour, sqlite, _SQLITE),
                },
                goals={"PostgreSQL": GOAL, "SQLite": GOAL},
                rounds=rounds,
            )
        server.drop(name)


def _ranks(rows: pa.Table) -> list[tuple[int, ...]]:
    hours = pc.divide(rows.column("opened_at"), 3_600_000_000)
    counts = rows.set_column(1, "hour", hours).filter(pc.field("status") == "completed")
    counts = counts.group_by(["app_id", "hour"]).aggregate([([], "count_all")])
    sizes = np.unique(counts.column("count_all").to_numpy())
    bounds = [each for share in (0.5, 0.95, 0.99) for each in ranks(sizes, share, 0.95)]
    return [tuple(row) for row in np.stack([sizes, *bounds], axis=1).tolist()]


def _fill_postgres(postgres: psycopg.Connection, rows: pa.Table) -> None:
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows, text, pyarrow.csv.WriteOptions(include_header=False))
    postgres.execute(_TABLE)
    with postgres.cursor().copy("COPY steps FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())
    postgres.execute(_RANKS)
    with postgres.cursor() as cursor:
        cursor.executemany("INSERT INTO ranks VALUES (%s, %s, %s, %s, %s, %s, %s)", _ranks(rows))
    postgres.execute("ANALYZE steps, ranks")


def _fill_sqlite(sqlite: sqlite3.Connection, rows: pa.Table) -> None:
    sqlite.execute(_TABLE)
    columns = (column.to_pylist() for column in rows.columns)
    sqlite.executemany("INSERT INTO steps VALUES (?, ?, ?, ?)", zip(*columns, strict=True))
    sqlite.execute(_RANKS)
    sqlite.executemany("INSERT INTO ranks VALUES (?, ?, ?, ?, ?, ?, ?)", _ranks(rows))
    sqlite.execute("ANALYZE")


def _ours(made: Material) -> float:
    started = time.perf_counter()
    question = Latency.read(_ASKED)
    with snapshot(made.archive, question.selection) as opened:
        question.answer(Asked(opened, now_us=0))
    return 3_600 / (time.perf_counter() - started)


def _answers_an_hour(connection: Any, text: str) -> float:
    started = time.perf_counter()
    connection.execute(text).fetchall()
    return 3_600 / (time.perf_counter() - started)
