"""The hand-written SQL that benchmarks measure questions against answers the same, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from analytics.asking import snapshot
from analytics.catalogue import QUESTIONS
from analytics.question import Asked, Question
from bench.columns_material import Material, material
from bench.questions import NOW_US
from bench.questions_floor_time import FLOORS_OF_TIME
from tests.analytics.by_hand import Row

_NAMED = {question.name: question for question in QUESTIONS}


@pytest.fixture(scope="module")
def made() -> Iterator[Material]:
    with material(6_000) as made:
        yield made


def told(made: Material, name: str, **parameters: object) -> list[Row]:
    question = _NAMED[name].read(parameters)
    assert isinstance(question, Question)
    with snapshot(made.archive, question.selection) as opened:
        rows: list[Row] = question.answer(Asked(opened, now_us=NOW_US)).to_pylist()
        return rows


def by_hand(made: Material, name: str) -> list[list[Row]]:
    """The answers of a floor's texts, a row as a dictionary."""
    with duckdb.connect() as bare:
        for kind in ("runs", "steps"):
            bare.execute(f"CREATE VIEW {kind} AS FROM read_parquet({made.paths(kind)})")
        return [bare.sql(text).to_arrow_table().to_pylist() for text in FLOORS_OF_TIME[name]]


def shared(rows: list[Row], floor: list[Row]) -> tuple[list[Any], list[Any]]:
    """What both tell, ordered by what they tell of."""
    names = sorted(set(rows[0]) & set(floor[0]))
    keys = [name for name in names if isinstance(floor[0][name], str)]

    def numbers(of: list[Row]) -> list[Any]:
        ordered = sorted(of, key=lambda row: [row[key] for key in keys])
        return [
            [row[key] for key in keys] + [_number(row[name]) for name in names] for row in ordered
        ]

    return numbers(rows), [pytest.approx(row) for row in numbers(floor)]


def _number(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else float(value)


def test_concurrency(made: Material) -> None:
    rows = told(made, "concurrency")
    for of, floor in zip(("runs", "steps"), by_hand(made, "concurrency"), strict=True):
        assert len(rows) == len(floor) > 600
        for row, theirs in zip(rows, floor, strict=True):
            assert row["bucket_at"] == theirs["bucket_at"]
            assert row[f"{of}_max"] == theirs[f"{of}_max"]
            assert row[f"{of}_mean"] == pytest.approx(theirs[f"{of}_mean"])


def test_load(made: Material) -> None:
    rows = told(made, "load")
    (groups,) = by_hand(made, "load")
    expected = [
        (
            group["app"],
            int(2 ** group["load"]) if group["load"] >= 0 else 0,
            group["n"],
            percent,
            pytest.approx(group["values_us"][place], abs=0.001),
            pytest.approx(group["mean_us"], abs=0.001),
            group["max_us"],
        )
        for group in groups
        for place, percent in enumerate((50.0, 95.0))
    ]
    names = ("app", "others_to", "n", "percentile", "value_us", "mean_us", "max_us")
    assert [tuple(row[name] for name in names) for row in rows] == expected


def test_time_spent(made: Material) -> None:
    rows = told(made, "time-spent")
    durations, gaps, whole = by_hand(made, "time-spent")
    for floor in (durations, gaps):
        ours, theirs = shared(rows, floor)
        assert ours == theirs
    totals = {row["workflow"]: int(row["sum(duration_us)"]) for row in whole}
    for row in rows:
        assert row["share"] == pytest.approx(row["duration_total_us"] / totals[row["workflow"]])


def test_critical_path(made: Material) -> None:
    (floor,) = by_hand(made, "critical-path")
    ours, theirs = shared(told(made, "critical-path"), floor)
    assert len(ours) == 50
    assert ours == theirs
