"""Every question over many steps, against hand-written SQL on the same files; latency against SQLite and PostgreSQL.

`BENCH_STEPS=1000000` measures that size alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Final

import duckdb
import pyarrow as pa

from analytics import engine
from analytics.archive import Archive
from analytics.asking import snapshot
from analytics.catalogue import QUESTIONS
from analytics.prices import Price, Prices
from analytics.question import Asked, Question
from bench import questions_elsewhere
from bench.columns_material import Material, add_tail, material
from bench.measure import Result, compare
from bench.questions_floor import FLOORS, add_ranks

SIZES: Final = (1_000_000, 10_000_000)
GOAL: Final = 1.3
NOW_US: Final = 1_795_000_000_000_000
_NAMED: Final = {question.name: question for question in QUESTIONS}

ASKED: Final[dict[str, tuple[str, dict[str, object]]]] = {
    **{name: (name, {}) for name in _NAMED if name != "run-path"},
    "latency, by app and hour": ("latency", {"by": "app", "bucket": "hour"}),
    "latency of runs": ("latency", {"of": "runs"}),
    "heatmap of runs": ("heatmap", {"of": "runs"}),
    "slowest steps": ("slowest", {"of": "steps"}),
    "unusual steps": ("unusual", {"of": "steps"}),
    "cost by run": ("cost", {"by": "run"}),
}
"""All questions as they are asked by default, and some otherwise. The path of one run reads no segments."""

_PRICES: Final = Prices(
    currency="USD",
    apps={
        "fal-ai/flux": [Price(per="megapixel", price=Decimal("0.025"))],
        "fal-ai/fast-sdxl": [Price(per="inference_second", price=Decimal("0.00111"))],
    },
)


def results(rounds: int) -> Iterator[Result]:
    """Time and memory of each question at each size, then latency elsewhere."""
    sizes = [int(size) for size in os.environ.get("BENCH_STEPS", "").split(",") if size]
    for steps in sizes or SIZES:
        with material(steps) as made:
            add_tail(made)
            for name in ASKED:
                yield time_of(made, name, steps, rounds)
            for name in ASKED:
                yield Result(
                    f"{name}, {steps:,} steps, most memory of a process that asks it",
                    "MiB", {"recorder": _peak_mib(made, name)}, {}, 1,
                )  # fmt: skip
            if steps == SIZES[0]:
                yield from questions_elsewhere.results(made, rounds)


def time_of(made: Material, name: str, steps: int, rounds: int) -> Result:
    """A question and its floor, in turns."""
    return compare(
        f"{name}, {steps:,} steps",
        "ms",
        {"recorder": partial(ours, made.archive, name), "hand-written SQL": _floor(made, name)},
        goals={"hand-written SQL": GOAL},
        rounds=rounds,
    )


def ours(archive: Archive, name: str) -> float:
    """Asks as the service does, and returns milliseconds."""
    started = time.perf_counter()
    told = answer(archive, name)
    took_ms = (time.perf_counter() - started) * 1_000
    assert told.num_rows
    return took_ms


def answer(archive: Archive, name: str) -> pa.Table:
    """The answer to what `ASKED` names."""
    kind, parameters = ASKED[name]
    question = _NAMED[kind].read(parameters)
    assert isinstance(question, Question)
    with snapshot(archive, question.selection) as opened:
        asked = Asked(opened, now_us=NOW_US, prices=lambda: _PRICES)
        return question.answer(asked)


def _floor(made: Material, name: str) -> partial[float]:
    """On a connection that is there already."""
    return partial(_by_hand, bare_connection(made, name), FLOORS[name])


def bare_connection(made: Material, name: str) -> duckdb.DuckDBPyConnection:
    """Bare DuckDB with what the floor of a question reads; it may take as much memory as it likes."""
    bare = duckdb.connect()
    bare.execute("SET parquet_metadata_cache = true")
    for kind in ("runs", "steps"):
        files = engine.literal(made.paths(kind))
        bare.execute(f"CREATE TEMP VIEW {kind} AS SELECT * FROM read_parquet({files})")
    add_ranks(bare, name)
    return bare


def _by_hand(bare: duckdb.DuckDBPyConnection, texts: list[str]) -> float:
    started = time.perf_counter()
    for text in texts:
        bare.sql(text).to_arrow_table()
    return (time.perf_counter() - started) * 1_000


def _peak_mib(made: Material, name: str) -> float:
    database, folder = str(made.folder.parent / "log.db"), str(made.folder)
    command = [sys.executable, "-m", "bench.questions_peak", database, folder, name]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
