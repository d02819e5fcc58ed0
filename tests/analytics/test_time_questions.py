"""What happens as time passes: throughput, concurrency, load and the heatmap, by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics.questions.concurrency import Concurrency, Load
from analytics.questions.heatmap import Heatmap
from analytics.questions.throughput import Throughput
from recorder.errors import BadQuery
from tests.analytics.by_hand import NOW, T0, ask, columns, run, step, us
from tests.builders import WORKFLOW

MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000


def test_runs_count_where_they_begin_and_where_they_end() -> None:
    runs = [
        run("a", duration_us=10),
        run("b", duration_us=2 * MINUTE_US, status="failed"),
        run("c", status="running", duration_us=None),
        run("d", opened_at=None, closed_at=T0 + 2 * MINUTE),
    ]
    assert ask(Throughput(bucket="minute"), runs) == [
        {
            "bucket_at": T0 + number * MINUTE,
            "workflow": None,
            "status": None,
            "definition": None,
            "opened": opened,
            "finished": completed + failed,
            "completed": completed,
            "failed": failed,
            "interrupted": 0,
            "cancelled": 0,
        }
        for number, (opened, completed, failed) in enumerate([(3, 1, 0), (0, 0, 0), (0, 1, 1)])
    ]


def test_every_group_has_every_bucket() -> None:
    runs = [
        run("a", workflow="w"),
        run("b", workflow="v", opened_at=T0 + timedelta(days=1), definition="d"),
    ]
    rows = ask(Throughput(bucket="day", by=["workflow", "definition"]), runs)
    day = datetime(2026, 11, 23)
    assert columns(rows, "bucket_at", "workflow", "definition", "opened") == [
        (day, "v", "d", 0),
        (day, "w", None, 1),
        (day + timedelta(days=1), "v", "d", 1),
        (day + timedelta(days=1), "w", None, 0),
    ]


@pytest.mark.parametrize("question", [Throughput(bucket="minute"), Concurrency(bucket="minute")])
def test_buckets_without_end_are_refused(question: Any) -> None:
    runs = [run("old", opened_at=datetime(1971, 1, 1)), run("young")]
    with pytest.raises(BadQuery, match="bucket: makes an answer of more than 100,000 rows"):
        ask(question, runs)


def test_concurrency_is_counted_exactly_and_its_mean_weighs_time() -> None:
    runs = [
        run("a", duration_us=30_000_000),
        run("b", opened_at=T0 + timedelta(seconds=30), duration_us=60_000_000),  # a has just ended
        run("c", opened_at=T0 + timedelta(seconds=45), duration_us=15_000_000),
        run("still", opened_at=T0 + 3 * MINUTE, status="running", duration_us=None),
        run("untimed", duration_us=None),
        run("unplaced", opened_at=None),
    ]
    steps = [
        step("a", submitted_us=0, finished_us=15_000_000),
        step("a", "b", submitted_us=0, finished_us=15_000_000, status="failed"),
        step(
            "b",
            submitted_us=0,
            finished_us=None,
            status="unfinished",
            opened_at=runs[1]["opened_at"],
        ),
        step(
            "still", submitted_us=0, finished_us=None, status="running", opened_at=T0 + 3 * MINUTE
        ),
        step("a", "c", submitted_us=None),
    ]
    rows = ask(Concurrency(bucket="minute"), runs, steps, now=T0 + 3 * MINUTE + MINUTE / 2)
    assert [tuple(row.values()) for row in rows] == [
        (T0, 2, 1.25, 2, 1.0),
        (T0 + MINUTE, 1, 0.5, 1, 0.5),
        (T0 + 2 * MINUTE, 0, 0.0, 0, 0.0),
        (T0 + 3 * MINUTE, 1, 1.0, 1, 1.0),
    ]


def test_only_the_time_asked_about_counts() -> None:
    runs = [run(duration_us=4 * MINUTE_US)]
    window = Concurrency(bucket="minute", since=us(T0 + MINUTE / 2), until=us(T0 + 2 * MINUTE))
    rows = ask(window, runs)
    assert columns(rows, "bucket_at", "runs_mean") == [(T0, 1.0), (T0 + MINUTE, 1.0)]
    assert ask(Concurrency(since=us(NOW)), runs) == ask(Concurrency()) == []


def test_load_counts_the_other_steps_of_the_app_at_its_submit() -> None:
    steps = [
        step("a", submitted_us=0, finished_us=100),
        step("b", submitted_us=50, finished_us=150),
        step("c", submitted_us=100, finished_us=110),  # a has just ended
        step("d", submitted_us=60, finished_us=None, status="running"),
        step("e", submitted_us=60, app_id="other"),
        step("f", submitted_us=0, finished_us=0, app_id=None),
    ]
    rows = ask(Load(percentiles=[50]), steps=steps)
    assert columns(rows, "app", "others_from", "others_to", "n", "value_us") == [
        ("fal-ai/app", 0, 0, 1, 100.0),
        ("fal-ai/app", 1, 1, 1, 100.0),
        ("fal-ai/app", 2, 2, 1, 10.0),
        ("other", 0, 0, 1, 40.0),
        (None, 0, 0, 1, 0.0),
    ]
    assert columns(ask(Load(percentiles=[50], app="other"), steps=steps), "app", "n") == [
        ("other", 1)
    ]


def test_load_can_count_the_other_runs() -> None:
    runs = [run("a"), run("b"), run("c", opened_at=T0 + MINUTE)]
    steps = [step("a"), step("b"), step("c", opened_at=T0 + MINUTE)]
    rows = ask(Load(count="runs", percentiles=[50]), runs, steps)
    assert columns(rows, "others_from", "n") == [(0, 1), (1, 2)]


def test_higher_loads_are_told_in_powers_of_two() -> None:
    steps = [step(f"run-{number}", submitted_us=number, finished_us=100) for number in range(10)]
    rows = ask(Load(percentiles=[50]), steps=steps)
    assert columns(rows, "others_from", "others_to", "n") == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 2, 1),
        (3, 4, 2),
        (5, 8, 4),
        (9, 16, 1),
    ]


def test_the_heatmaps_bins_are_equally_wide_on_a_logarithmic_scale() -> None:
    durations = [0, 1, 9, 10, 99, 100, 999, 1000]
    steps = [step(finished_us=us) for us in durations]
    rows = ask(Heatmap(bins=1), steps=[*steps, step(opened_at=None), step(finished_us=None)])
    assert [tuple(row.values()) for row in rows] == [
        (T0, 0, 1, 1),
        (T0, 1, 10, 2),
        (T0, 10, 100, 2),
        (T0, 100, 1000, 2),
        (T0, 1000, 10000, 1),
    ]
    assert columns(ask(Heatmap(of="runs", bins=2), [run(duration_us=5)]), "low_us", "high_us") == [
        (4, 10)
    ]


def test_workflows_told_apart_are_named() -> None:
    assert columns(ask(Throughput(by=["workflow"]), [run()]), "workflow", "opened") == [
        (WORKFLOW, 1)
    ]
