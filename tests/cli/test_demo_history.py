"""The synthetic history: the same each time, whole, and with what it says in it."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterator

import pytest

from cli.demo.history import History, synthesize
from cli.demo.history.load import DAY_US, HOUR_US, arrivals, load_at
from cli.demo.history.writing import batched_events
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from recorder.graph import read_graph
from recorder.projections.runs import Run, fold, new_run
from tests.builders import logged, new_event
from tests.cli.builders import Cli

MONDAY_US = 1_700_438_400_000_000
"""2023-11-20, at midnight in UTC."""

SMALL = History(since=MONDAY_US, until=MONDAY_US + DAY_US, runs_per_day=60)
BIG = History(since=MONDAY_US, until=MONDAY_US + 7 * DAY_US, runs_per_day=700)


def events_of(history: History) -> list[NewEvent]:
    return [event for batch in batched_events(history) for event in batch]


@pytest.fixture(scope="module")
def big() -> list[NewEvent]:
    return events_of(BIG)


@pytest.fixture(scope="module")
def big_runs(big: list[NewEvent]) -> list[Run]:
    of_run: dict[str, list[NewEvent]] = {}
    for event in big:
        of_run.setdefault(event.request_id, []).append(event)
    return [fold(new_run(request_id), logged(run)) for request_id, run in of_run.items()]


def test_a_history_is_the_same_within_the_hour_and_another_with_another_seed() -> None:
    later = History(since=SMALL.since + 5, until=SMALL.until + HOUR_US - 1, runs_per_day=60)
    other = History(since=SMALL.since, until=SMALL.until, runs_per_day=60, seed=2)
    first = events_of(SMALL)
    assert events_of(later) == first
    ids = {event.request_id for event in first}
    assert ids.isdisjoint(event.request_id for event in events_of(other))


def test_a_history_goes_through_the_log_once_and_can_be_proved_and_folded_anew(
    rec: Recorder,
) -> None:
    written = synthesize(rec.database, rec.log, SMALL)
    assert synthesize(rec.database, rec.log, SMALL) == written
    assert rec.log.head().position == written.events
    assert rec.verify().intact
    page = rec.runs(limit=1_000)
    assert len(page.runs) == written.runs > 30
    assert rec.rebuild().differences == 0
    definitions = {run.definition for run in page.runs}
    assert None not in definitions
    for digest in definitions:
        assert digest is not None
        assert read_graph(rec.definition(digest)).problems == ()


def test_a_history_that_was_broken_off_is_completed(sqlite_rec: Recorder) -> None:
    events = events_of(SMALL)
    sqlite_rec.log.append_copies(events[: len(events) // 2])
    written = synthesize(sqlite_rec.database, sqlite_rec.log, SMALL)
    assert sqlite_rec.log.head().position == written.events == len(events)


def test_events_come_in_the_order_they_were_received_and_end_before_the_history_does(
    big: list[NewEvent],
) -> None:
    times = [event.received_at for event in big]
    assert times == sorted(times)
    assert times[0] >= BIG.since
    assert times[-1] < BIG.until


def test_the_columns_of_an_event_are_what_its_frame_says(big: list[NewEvent]) -> None:
    for event in big[:3_000]:
        if event.type in ("submit", "completion", "output", "error"):
            read = new_event(event.request_id, event.seq, event.frame)
            assert (event.type, event.node_id, event.app_id, event.step_request_id) == (
                read.type,
                read.node_id,
                read.app_id,
                read.step_request_id,
            )


def test_every_kind_of_run_and_step_is_there(big_runs: list[Run]) -> None:
    statuses = Counter(run.status for run in big_runs)
    assert set(statuses) == {"completed", "failed", "interrupted", "cancelled"}
    assert 0.85 < statuses["completed"] / len(big_runs) < 0.97
    assert {run.mode for run in big_runs} == {"stream", "queue"}
    reasons = {run.close_reason for run in big_runs}
    assert reasons == {"eof", "cut", "client_gone", "recorder_lost", "refused"}
    again = [step for run in big_runs for step in run.steps.values() if step.attempt == 2]
    assert {step.status for step in again} >= {"completed"}
    of_odd = {name for run in big_runs for name in run.anomalies}
    assert of_odd == {"repeated_submit", "event_after_error"}
    inputs = Counter(run.input_digest for run in big_runs)
    assert len(inputs) < 0.95 * len(big_runs)
    assert any(b": ping" in event.frame for event in events_of(BIG))


def test_the_slowdown_is_in_the_inference_of_its_node_from_its_moment_on(
    big_runs: list[Run],
) -> None:
    slow = BIG.planted.slowdown
    before: list[int] = []
    after: list[int] = []
    for run, inference_us in _inferences(big_runs, slow.workflow, slow.node_id):
        assert run.opened_at is not None
        (before if run.opened_at < slow.at else after).append(inference_us)
    ratio = statistics.median(after) / statistics.median(before)
    assert ratio == pytest.approx(slow.factor, rel=0.08)


def _inferences(runs: list[Run], workflow: str, node_id: str) -> Iterator[tuple[Run, int]]:
    for run in runs:
        step = run.steps.get((node_id, 1))
        if run.workflow == workflow and step is not None and step.inference_us is not None:
            yield run, step.inference_us


def test_the_definition_changes_at_its_moment(big_runs: list[Run]) -> None:
    change = BIG.planted.change
    of_workflow = [run for run in big_runs if run.workflow == change.workflow]
    assert {run.definition for run in of_workflow if (run.opened_at or 0) < change.at} == {
        change.before
    }
    assert {run.definition for run in of_workflow if (run.opened_at or 0) >= change.at} == {
        change.after
    }


def test_bursts_fail_as_often_as_they_say(big_runs: list[Run]) -> None:
    for burst in BIG.planted.bursts:
        statuses = Counter(
            step.error.status if step.error else None
            for run in big_runs
            if run.workflow == burst.workflow
            for step in run.steps.values()
            if (step.node_id, step.attempt) == (burst.node_id, 1)
            and burst.since <= (run.opened_at or 0) + (step.submitted_us or 0) < burst.until
        )
        share = statuses[burst.status] / statuses.total()
        assert share == pytest.approx(burst.share, abs=0.25), burst


def test_arrivals_follow_the_load_of_day_and_week() -> None:
    moments = list(arrivals(random.Random(3), MONDAY_US, MONDAY_US + 7 * DAY_US, 4_000))
    assert len(moments) == pytest.approx(28_000, rel=0.02)
    by_day = Counter((at - MONDAY_US) // DAY_US for at in moments)
    assert by_day[5] + by_day[6] == pytest.approx(4_000, rel=0.06)
    by_hour = Counter(at % DAY_US // HOUR_US for at in moments)
    assert by_hour[15] > 5 * by_hour[3]
    week = [load_at(MONDAY_US + hour * HOUR_US) for hour in range(7 * 24)]
    assert statistics.mean(week) == pytest.approx(1)


def test_the_demo_with_a_history_tells_what_it_planted(cli: Cli, database: str) -> None:
    done = cli.ok("demo", "--history", "6h", "--runs-per-day", "200", "--exit", "--db", database)
    assert "workflows/acme/sticker: cutout works 1.6 times as long" in done.out
    assert "intact over" in done.out
    assert cli.ok("verify").out.startswith("intact")


def test_a_history_has_to_last_an_hour(cli: Cli) -> None:
    assert cli("demo", "--history", "2099-01-01", "--exit").code == 2
