"""How long comparing two windows and looking for changes take, and how much memory, over many steps."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from analytics.asking import Snapshot
from analytics.comparing.changes import changes_in
from analytics.comparing.compare import compare_snapshots
from analytics.comparing.queries import ChangesQuery, CompareQuery
from analytics.engine import MEMORY_LIMIT
from analytics.selection import Selection
from bench.measure import Result
from tests.trust.memory import peak_rss_bytes

STEPS = (1_000_000, 10_000_000)
WEEK_US = 7 * 24 * 3_600 * 1_000_000
START_US = 1_795_000_000_000_000
_NODES = 4

_STEPS_SQL = """
COPY (
    SELECT *, inference_us + overhead_us AS duration_us FROM (SELECT
        printf('%08x-%04x-7000-8000-%012x', run // 7, run % 65536, run) AS request_id,
        'workflows/acme/flow' || (run % 5) AS workflow,
        make_timestamp({start} + run * {week} // {runs}) AS opened_at,
        'node_' || node AS node_id,
        1::BIGINT AS attempt,
        'fal-ai/app_' || (node % 3) AS app_id,
        CASE WHEN random() < 0.01 THEN 'failed' ELSE 'completed' END AS status,
        exp(14 + 0.45 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::BIGINT AS inference_us,
        exp(12 + 0.9 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::BIGINT AS overhead_us
    FROM range({runs}) AS runs(run), range({nodes}) AS nodes(node))
) TO '{path}' (FORMAT parquet)
"""


def results(_: int) -> Iterator[Result]:
    """Each in a process of its own: its seconds, and the most memory it had."""
    for steps in STEPS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = Path(folder) / "steps.parquet"
            sql = _STEPS_SQL.format(
                start=START_US, week=WEEK_US, runs=steps // _NODES, nodes=_NODES, path=path
            )
            duckdb.connect().execute(sql)
            for what in ("compare", "changes"):
                command = [sys.executable, "-m", "bench.comparing", what, str(path)]
                answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
                seconds, mib = map(float, answer.split())
                yield Result(f"{what} over {steps:,} steps", "s", {"recorder": seconds}, {}, 1)
                yield Result(
                    f"{what} over {steps:,} steps, memory", "MiB", {"recorder": mib}, {}, 1
                )


def main(what: str, path: str) -> None:
    """Answers one question; prints seconds and MiB."""
    started = time.perf_counter()
    if what == "compare":
        query = CompareQuery(a=Selection(until=1), b=Selection(since=1))
        middle = START_US + WEEK_US // 2
        compare_snapshots(
            _opened(path, f"epoch_us(opened_at) < {middle}"),
            _opened(path, f"epoch_us(opened_at) >= {middle}"),
            query,
        )
    else:
        changes_in(_opened(path, "true"), ChangesQuery())
    took_s = time.perf_counter() - started
    print(took_s, peak_rss_bytes() / 2**20)


def _opened(path: str, where: str) -> Snapshot:
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": ""})
    connection.execute(f"CREATE VIEW steps AS SELECT * FROM '{path}' WHERE {where}")
    # Runs of one step each stand for whole runs.
    connection.execute("CREATE VIEW runs AS SELECT * FROM steps WHERE node_id = 'node_0'")
    return Snapshot(connection, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
