"""Two sides compared, by numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from analytics.comparing.compare import CompareReport, compare, compare_snapshots
from analytics.comparing.measures import (
    Driver,
    GroupChange,
    MeasureChange,
    PercentileChange,
    RateChange,
    Shift,
)
from analytics.comparing.queries import CompareQuery
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.errors import BadQuery
from tests.analytics.tables import a_run, a_step, asked
from tests.builders import WORKFLOW, one_step_run
from tests.clocks import NOVEMBER_2023_US

BEFORE, AFTER = Selection(until=1), Selection(since=1)
Rows = Sequence[dict[str, Any]]


def compared(a: Rows = (), b: Rows = (), *, of: str = "steps", **query: Any) -> CompareReport:
    with asked(**{of: a}, position=7) as before, asked(**{of: b}, position=9) as after:
        return compare_snapshots(before, after, CompareQuery(a=BEFORE, b=AFTER, **query))


def spread(count: int, us: int, **fields: Any) -> list[dict[str, Any]]:
    """Steps that take from `us` on, one microsecond more each."""
    return [a_step(number, duration_us=us + number, **fields) for number in range(count)]


def test_nothing_recorded_is_nothing_to_compare() -> None:
    assert compared() == CompareReport(
        query=CompareQuery(a=BEFORE, b=AFTER),
        runs=[],
        steps=[],
        left_out=0,
        tests=0,
        as_of_position=7,
    )


def test_few_runs_are_told_and_are_no_evidence() -> None:
    report = compared(spread(3, 100), spread(2, 900), measures=("duration",), percentiles=(50,))
    assert report.steps == [
        GroupChange(
            workflow=WORKFLOW,
            node="a",
            app=None,
            measures={
                "duration": MeasureChange(
                    a_count=3,
                    b_count=2,
                    a_runs=3,
                    b_runs=2,
                    percentiles=[
                        PercentileChange(
                            percentile=50,
                            a_us=101.0,
                            b_us=900.5,
                            change_us=799.5,
                            change_percent=791.584,
                        )
                    ],
                    shift=Shift(b_longer=1.0),
                )
            },
            failures=RateChange(a_failed=0, a_ended=3, b_failed=0, b_ended=2, change_points=0.0),
        )
    ]
    assert report.tests == 0


def test_a_group_of_one_side_only_has_no_change() -> None:
    (group,) = compared((), spread(30, 100), percentiles=(50,)).steps
    duration, inference = group.measures["duration"], group.measures["inference"]
    assert duration.percentiles == [PercentileChange(percentile=50, b_us=114.5)]
    assert (duration.a_count, duration.b_count, duration.shift) == (0, 30, Shift())
    assert inference.percentiles == [PercentileChange(percentile=50)]
    assert group.failures == RateChange(a_failed=0, a_ended=0, b_failed=0, b_ended=30)


def test_what_takes_longer_is_worse_and_its_slowest_runs_are_named() -> None:
    report = compared(spread(100, 1_000), spread(100, 1_050), measures=("duration",))
    (group,) = report.steps
    duration = group.measures["duration"]
    assert duration.verdict == "worse"
    assert [(each.percentile, each.change_us, each.verdict) for each in duration.percentiles] == [
        (50, 50.0, "worse"),
        (90, 50.0, "worse"),
        (95, 50.0, "worse"),
        (99, 50.0, "no evidence"),
    ]
    assert duration.shift.b_longer == 0.875  # all but the pairs of the 50 × 50 / 2 that cross
    assert duration.drivers == [Driver(f"run-{99 - n}", 1_149 - n) for n in range(5)]
    assert group.failures.verdict == "no evidence"
    assert report.tests == 5  # p99 of a hundred values has no upper limit; four others and failures


def test_what_takes_less_is_better_and_the_slowest_runs_of_before_are_named() -> None:
    (group,) = compared(spread(100, 1_050), spread(100, 1_000), measures=("duration",)).steps
    assert group.measures["duration"].verdict == "better"
    assert group.measures["duration"].drivers[0] == Driver("run-99", 1_149)


def test_whole_runs_are_compared_by_workflow() -> None:
    before = [a_run(n, duration_us=1_000 + n) for n in range(50)]
    after = [a_run(n, duration_us=2_000 + n) for n in range(50)]
    lost = [a_run(n, duration_us=None, status="failed") for n in range(50, 100)]
    report = compared(before, [*after, *lost, a_run(200, status="cancelled")], of="runs")
    (group,) = report.runs
    assert (group.key, list(group.measures)) == ((WORKFLOW, None, None), ["duration"])
    assert group.measures["duration"].verdict == "worse"
    assert group.measures["duration"].drivers[0] == Driver("run-49", 2_049)
    failures = group.failures
    assert (failures.a_failed, failures.a_ended, failures.b_failed, failures.b_ended) == (
        *(0, 50),
        *(50, 100),
    )
    assert (failures.change_points, failures.verdict) == (50.0, "worse")


def test_steps_that_fail_less_often_are_better() -> None:
    failed = spread(40, 100, status="failed")
    (group,) = compared([*failed, *spread(40, 100)], spread(80, 100)).steps
    assert (group.failures.a_failed, group.failures.a_ended) == (40, 80)
    assert (group.failures.change_points, group.failures.verdict) == (-50.0, "better")


def test_steps_of_one_run_do_not_count_as_evidence_of_many() -> None:
    # Twenty attempts each of two runs are worth two values, not forty.
    attempts = [
        a_step(run, attempt=attempt, duration_us=1_000 * (1 + run))
        for run in (1, 2)
        for attempt in range(1, 21)
    ]
    later = [row | {"duration_us": 9_000} for row in attempts]
    (group,) = compared(attempts, later, measures=("duration",)).steps
    duration = group.measures["duration"]
    assert (duration.a_count, duration.a_runs, duration.verdict) == (40, 2, "no evidence")
    assert group.failures.p_value is None


def test_an_app_that_several_nodes_of_a_run_use_counts_by_runs() -> None:
    rows = [a_step(run, node_id=node) for run in range(30) for node in ("a", "b")]
    (group,) = compared(rows, rows, by=("app",)).steps
    assert (group.workflow, group.node, group.app) == (None, None, "fal-ai/app")
    assert (group.measures["duration"].a_count, group.measures["duration"].a_runs) == (60, 30)


def test_groups_are_told_apart_as_asked_and_sorted() -> None:
    rows = [
        a_step(1, node_id="b"),
        a_step(2, node_id="a", app_id=None),
        a_step(3, node_id="a", app_id="fal-ai/x"),
        a_step(4, workflow="workflows/o/first", node_id="z"),
    ]

    def keys(**query: Any) -> list[tuple[str | None, str | None, str | None]]:
        return [group.key for group in compared(rows, (), **query).steps]

    assert keys() == [
        (WORKFLOW, "a", None),
        (WORKFLOW, "b", None),
        ("workflows/o/first", "z", None),
    ]
    assert keys(by=("app",)) == [
        (None, None, "fal-ai/app"),
        (None, None, "fal-ai/x"),
        (None, None, None),
    ]


def test_two_windows_of_a_log_are_compared(rec: Recorder) -> None:
    rec.log.append(one_step_run("run"))
    rec.projector.catch_up()
    query = CompareQuery(
        a=Selection(until=NOVEMBER_2023_US), b=Selection(since=NOVEMBER_2023_US), percentiles=(50,)
    )
    report = compare(rec.database, query)
    (group,), (run,) = report.steps, report.runs
    assert group.measures["duration"].percentiles == [PercentileChange(percentile=50, b_us=100_000)]
    assert group.measures["overhead"].percentiles == [PercentileChange(percentile=50, b_us=50_000)]
    assert run.measures["duration"].percentiles == [PercentileChange(percentile=50, b_us=400_000)]
    assert report.as_of_position == 5


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("by", {"by": ("run",)}),
        ("by", {"by": ()}),
        ("measures", {"measures": ("duration", "duration")}),
        ("percentiles", {"percentiles": ()}),
        ("percentiles", {"percentiles": (0.0,)}),
        ("percentiles", {"percentiles": (100.0,)}),
        ("percentiles", {"percentiles": (float("nan"),)}),
        ("percentiles", {"percentiles": (50, 50)}),
        ("b", {"b": BEFORE}),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadQuery, match=f"^{field}: "):
        CompareQuery(**({"a": BEFORE, "b": AFTER} | wrong))
