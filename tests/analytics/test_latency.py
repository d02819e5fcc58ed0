"""Latency, by numbers worked out by hand."""

from __future__ import annotations

import msgspec
import pytest

from analytics.latency import (
    LatencyQuery,
    LatencyReport,
    Measure,
    RunLatency,
    StepLatency,
    latency,
)
from recorder.bootstrap import Recorder
from recorder.errors import BadQuery
from recorder.events import NewEvent
from tests.analytics.conftest import Measured
from tests.builders import (
    WORKFLOW,
    completion,
    error,
    frame,
    history,
    opened,
    output,
    submit,
)
from tests.clocks import NOVEMBER_2023_US

NOTHING = Measure(0, None, None, None, None, None)


def just(us: int) -> Measure:
    """The distribution of a single value."""
    return Measure(1, us, us, us, us, us)


def step(request_id: str, duration_us: int, inference_s: float | None = None) -> list[NewEvent]:
    """A run of one step, of which each part takes `duration_us`."""
    frames = (submit("a"), completion("a", inference_s=inference_s), output())
    return history(request_id, *frames, every_us=duration_us)


def opened_at(events: list[NewEvent], at_us: int) -> list[NewEvent]:
    """The same run at another time."""
    moved = at_us - events[0].received_at
    return [
        msgspec.structs.replace(event, received_at=event.received_at + moved) for event in events
    ]


def test_an_empty_log_has_no_groups(measured: Measured) -> None:
    assert measured() == LatencyReport([], [], 0)


def test_percentiles_are_exact_and_interpolated_between_neighbours(measured: Measured) -> None:
    runs = [step(f"run-{us}", us, inference_s=0.0001) for us in (100, 200, 300, 400, 1000)]
    duration = Measure(5, 300.0, 760.0, 880.0, 976.0, 1000)
    assert measured(*runs) == LatencyReport(
        [
            StepLatency(
                workflow=WORKFLOW,
                node="a",
                app="fal-ai/app",
                completed=5,
                failed=0,
                unfinished=0,
                running=0,
                duration=duration,
                inference=Measure(5, 100.0, 100.0, 100.0, 100.0, 100),
                overhead=Measure(5, 200.0, 660.0, 780.0, 876.0, 900),
            )
        ],
        [
            RunLatency(
                workflow=WORKFLOW,
                completed=5,
                failed=0,
                interrupted=0,
                cancelled=0,
                running=0,
                duration=Measure(5, 1200.0, 3040.0, 3520.0, 3904.0, 4000),
                first_event=duration,
            )
        ],
        25,
    )


def test_what_is_unknown_is_left_out_of_its_measure_only(measured: Measured) -> None:
    no_submit = history("no submit", completion("a", inference_s=0.5), output())
    no_inference = step("no inference", 300)
    report = measured(no_submit, no_inference, by=("node",))
    (group,) = report.steps
    assert (group.completed, group.duration, group.inference, group.overhead) == (
        2,
        just(300),
        just(500_000),
        NOTHING,
    )


def test_an_app_that_claims_more_than_passed_has_negative_overhead(measured: Measured) -> None:
    (group,) = measured(step("run", 1_000, inference_s=0.003)).steps
    assert group.overhead == just(-2_000)


def test_only_completed_steps_are_measured_and_the_others_counted(measured: Measured) -> None:
    report = measured(
        step("completed", 100),
        history("failed", submit("a"), error("a"), every_us=7_000),
        history("unfinished", submit("a"), reason="cut", every_us=7_000),
        history("running", submit("a"), reason=None, every_us=7_000),
    )
    (steps,) = report.steps
    assert (steps.completed, steps.failed, steps.unfinished, steps.running) == (1, 1, 1, 1)
    assert steps.duration == just(100)
    (runs,) = report.runs
    assert runs == RunLatency(
        workflow=WORKFLOW,
        completed=1,
        failed=1,
        interrupted=1,
        cancelled=0,
        running=1,
        duration=just(400),
        first_event=just(100),
    )


def test_every_attempt_of_a_node_is_a_step(measured: Measured) -> None:
    frames = [submit("a"), completion("a"), submit("a"), completion("a"), output()]
    (group,) = measured(history("run", *frames, every_us=50)).steps
    assert (group.completed, group.duration.count) == (2, 2)


def test_a_group_told_apart_by_less_holds_more(measured: Measured) -> None:
    frames = [
        *(submit("a", app_id="fal-ai/one"), completion("a", app_id=None)),
        *(submit("b", app_id="fal-ai/two"), completion("b", app_id=None)),
        *(submit("c", app_id=None), completion("c", app_id=None), output()),
    ]
    other = opened("other", workflow="workflows/o/other")
    runs = [history("run", *frames), history("other", *frames, document=other)]
    by_app = measured(*runs, by=("app",)).steps
    assert [(row.workflow, row.node, row.app, row.completed) for row in by_app] == [
        (None, None, "fal-ai/one", 2),
        (None, None, "fal-ai/two", 2),
        (None, None, None, 2),
    ]
    by_workflow = measured(by=("workflow",)).steps
    assert [(row.workflow, row.node, row.app, row.completed) for row in by_workflow] == [
        (WORKFLOW, None, None, 3),
        ("workflows/o/other", None, None, 3),
    ]
    assert [row.completed for row in measured(by=()).steps] == [6]
    assert len(measured().steps) == 6


def test_a_window_takes_in_its_start_and_leaves_out_its_end(measured: Measured) -> None:
    runs = [opened_at(step(f"run-{at}", at + 1), NOVEMBER_2023_US + at) for at in (0, 10, 20)]
    report = measured(*runs, since=NOVEMBER_2023_US + 10, until=NOVEMBER_2023_US + 20)
    assert [row.duration for row in report.steps] == [just(11)]
    assert [row.duration for row in report.runs] == [just(44)]


def test_node_and_app_narrow_the_runs_to_those_that_have_such_a_step(measured: Measured) -> None:
    other = history("b", submit("b", app_id="fal-ai/b"), completion("b"), output(), every_us=9)
    report = measured(step("a", 5), other, app="fal-ai/b", node="b")
    assert [(row.node, row.app) for row in report.steps] == [("b", "fal-ai/b")]
    assert [row.duration for row in report.runs] == [just(36)]
    assert measured(app="fal-ai/b", node="a") == LatencyReport([], [], 10)
    assert measured(workflow="workflows/none/such") == LatencyReport([], [], 10)


def test_ids_no_database_can_hold_are_found_all_the_same(measured: Measured) -> None:
    node_id = "nul \0 and more"
    run = history("run", submit(node_id, app_id="\ud800"), completion(node_id), output())
    assert len(measured(run, node=node_id, app="\ud800").steps) == 1
    assert measured(workflow="\0").steps == []


def test_a_run_without_known_times_is_counted_and_not_measured(measured: Measured) -> None:
    untimed = opened("run", timed=False, source="transcript")
    frames = [submit("a"), completion("a", inference_s=0.5), output()]
    report = measured(history("run", *frames, document=untimed))
    (steps,), (runs,) = report.steps, report.runs
    assert (steps.completed, steps.duration, steps.inference) == (1, NOTHING, just(500_000))
    assert (runs.completed, runs.duration, runs.first_event) == (1, NOTHING, NOTHING)


def test_only_the_live_generation_is_asked(rec: Recorder) -> None:
    rec.log.append(step("run", 100))
    rec.projector.catch_up()
    before = latency(rec.database, LatencyQuery())
    rec.rebuild()
    assert latency(rec.database, LatencyQuery()) == before


def test_an_event_of_no_node_makes_a_group_of_the_empty_node(measured: Measured) -> None:
    report = measured(history("run", frame({"type": "submit"}), output()))
    assert [(row.node, row.app, row.unfinished) for row in report.steps] == [("", None, 1)]


@pytest.mark.parametrize("by", [("run",), ("node", "node")])
def test_an_unknown_or_repeated_dimension_is_refused(by: tuple[str, ...]) -> None:
    with pytest.raises(BadQuery, match="by: names each of workflow, node, app at most once"):
        LatencyQuery(by=by)  # type: ignore[arg-type]
