"""What a report says, by numbers worked out by hand."""

from __future__ import annotations

import msgspec
import pytest

from analytics.comparing.windows import DAY_US
from analytics.reporting.composing import (
    PARTS,
    ErrorRow,
    Moment,
    NodeRow,
    SlowRun,
    Timeline,
    Totals,
    compose,
)
from analytics.reporting.queries import ReportQuery
from analytics.reporting.summary import summary
from recorder.bootstrap import Recorder
from recorder.errors import BadQuery
from recorder.events import NewEvent
from tests.analytics.reporting.conftest import HOUR_US, Composed
from tests.builders import WORKFLOW, completion, error, history, one_step_run, output, submit
from tests.clocks import NOVEMBER_2023_US

NOTHING = Totals(
    runs=0,
    completed=0,
    failed=0,
    interrupted=0,
    cancelled=0,
    running=0,
    p50_us=None,
    p95_us=None,
    first_at_us=None,
    last_at_us=None,
)


def at(events: list[NewEvent], after_us: int) -> list[NewEvent]:
    """The same so much later."""
    return [
        msgspec.structs.replace(event, received_at=event.received_at + after_us) for event in events
    ]


def slow(number: int, step_us: int) -> list[NewEvent]:
    """A run of four steps' time."""
    frames = (submit("a"), completion("a"), output())
    return history(f"run-{number}", *frames, every_us=step_us)


def test_nothing_recorded_makes_a_report_that_says_so(composed: Composed) -> None:
    report = composed()
    assert (report.totals, report.timeline.moments, report.compare) == (NOTHING, [], None)
    assert (report.errors, report.nodes, report.slowest, report.changes.changes) == ([], [], [], [])
    assert summary(report) == ["No run was recorded so far."]


def test_one_run_is_told_in_every_part(composed: Composed) -> None:
    report = composed(one_step_run("run"))
    assert report.totals == Totals(
        runs=1,
        completed=1,
        failed=0,
        interrupted=0,
        cancelled=0,
        running=0,
        p50_us=400_000,
        p95_us=400_000,
        first_at_us=NOVEMBER_2023_US,
        last_at_us=NOVEMBER_2023_US,
    )
    assert report.timeline == Timeline(
        1,
        [Moment(at_us=NOVEMBER_2023_US, runs=1, completed=1, p50_us=400_000, p95_us=400_000)],
    )
    assert report.nodes == [NodeRow(WORKFLOW, "a", 1, 100_000, 50_000, 50_000, 1.0)]
    assert report.slowest == [
        SlowRun("run", WORKFLOW, "completed", 400_000, NOVEMBER_2023_US, "a", 100_000)
    ]
    assert [step.node for step in report.latency.steps] == ["a"]
    assert summary(report) == [
        "1 run from 2023-11-14 22:13:20 to 2023-11-14 22:13:20 UTC; 100.0 % succeeded; half took "
        "400 ms or less, 95 % 400 ms or less."
    ]
    assert report.as_of_position == 5


def test_failures_are_told_of_runs_and_of_steps(composed: Composed) -> None:
    detail = {"detail": [{"loc": ["body", "image"], "msg": "bad", "type": "image_load_error"}]}
    failing = [
        at(history(f"run-{n}", submit("a"), error("a", status=422, body=detail)), n) for n in (1, 2)
    ]
    report = composed(*failing, history("cut", submit("a"), reason="cut"))
    assert report.errors == [
        ErrorRow("runs", "image_load_error", None, "body.image", 2, 2 / 3, 2, "run-2", "it broke"),
        ErrorRow("runs", "cut", None, None, 1, 1 / 3, 1, "cut", "cut"),
        ErrorRow(
            "steps",
            "image_load_error",
            "fal-ai/app",
            "body.image",
            2,
            2 / 3,
            2,
            "run-2",
            "it broke",
        ),
    ]
    assert report.totals.success_rate == 0.0


def test_the_timeline_has_no_holes_and_begins_where_the_window_does(composed: Composed) -> None:
    runs = [at(one_step_run("a"), 0), at(one_step_run("b"), 40 * 60_000_000)]
    timeline = composed(*runs, since=NOVEMBER_2023_US - HOUR_US // 2, until=None).timeline
    assert timeline.bucket_s == 300
    assert [each.runs for each in timeline.moments] == [0] * 6 + [1] + [0] * 7 + [1]
    assert timeline.moments[0].at_us % 300_000_000 == 0


def test_a_window_of_decades_is_shown_from_its_first_run(composed: Composed) -> None:
    timeline = composed(one_step_run("a"), since=0).timeline
    assert [each.runs for each in timeline.moments] == [1]


def test_a_window_is_compared_with_the_one_before(composed: Composed) -> None:
    runs = [at(slow(n, 1_000 + n % 50 + 300 * (n >= 100)), n * HOUR_US // 100) for n in range(200)]
    report = composed(*runs, since=NOVEMBER_2023_US + HOUR_US, compare="previous")
    assert report.before is not None
    assert (report.before.since, report.before.until) == (NOVEMBER_2023_US, report.window.since)
    assert report.totals_before is not None
    assert (report.totals.runs, report.totals_before.runs) == (100, 100)
    assert report.compare is not None
    (group,) = report.compare.steps
    assert group.measures["duration"].verdict == "worse"
    assert summary(report)[1:] == [
        "The window before had 100 runs; 100.0 % succeeded; half took 4.1 ms or less, 95 % 4.2 ms or "
        "less.",
        "The biggest change: runs of fal-ai/sdxl-sticker became slower, p50 +29.3 % (4.1 ms → 5.3 ms), "
        "and 1 more.",
    ]


def test_a_window_without_a_start_is_compared_over_seven_days(composed: Composed) -> None:
    report = composed(compare="previous")
    assert report.window.until == NOVEMBER_2023_US + 2 * HOUR_US
    assert report.window.since == report.window.until - 7 * DAY_US
    assert summary(report) == [
        "No run was recorded from 2023-11-08 00:13:20 to 2023-11-15 00:13:20 UTC.",
        "The window before had no runs to compare with.",
        "Nothing is known to have become slower or faster (0 tests).",
    ]


def test_filters_narrow_every_part(composed: Composed) -> None:
    report = composed(one_step_run("run-a", "a"), one_step_run("run-b", "b"), node="b", by=("app",))
    assert report.totals.runs == 1
    assert [row.node for row in report.nodes] == ["b"]
    assert [row.request_id for row in report.slowest] == ["run-b"]
    assert [(row.node, row.app) for row in report.latency.steps] == [(None, "fal-ai/app")]


def test_both_kinds_of_database_say_the_same_and_the_work_is_told(rec: Recorder) -> None:
    rec.log.append(one_step_run("run"))
    rec.projector.catch_up()
    told: list[str] = []
    report = compose(rec.database, ReportQuery(), now_us=NOVEMBER_2023_US, tell=told.append)
    assert tuple(told) == PARTS
    assert (report.totals.runs, report.nodes[0].duration_us) == (1, 100_000)


def test_a_window_that_ends_before_it_starts_cannot_be_compared(composed: Composed) -> None:
    with pytest.raises(BadQuery, match="since: is not before until"):
        composed(since=NOVEMBER_2023_US + DAY_US, compare="previous")
