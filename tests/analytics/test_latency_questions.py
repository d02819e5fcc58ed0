"""Latency in percentiles and buckets, by numbers worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from analytics.question import MAX_ROWS
from analytics.questions import latency
from analytics.questions.latency import FirstEvent, Latency
from recorder.errors import BadQuery
from tests.analytics.by_hand import T0, ask, columns, run, step
from tests.builders import WORKFLOW


def test_a_percentile_of_a_group_is_a_row() -> None:
    steps = [step(finished_us=us, inference_us=us // 2) for us in (100, 200, 300, 400, 1000)]
    rows = ask(Latency(percentiles=[50, 90], measures=["overhead"]), steps=steps)
    assert rows[1] == {
        "workflow": WORKFLOW,
        "node": "a",
        "app": "fal-ai/app",
        "status": None,
        "definition": None,
        "bucket_at": None,
        "measure": "overhead",
        "n": 5,
        "mean_us": 200.0,
        "max_us": 500,
        "percentile": 90.0,
        "value_us": 380.0,
        "low_us": 150,
        "high_us": None,
    }
    assert columns(rows, "percentile", "value_us") == [(50.0, 150.0), (90.0, 380.0)]


def test_only_completed_steps_are_measured_and_each_measure_where_it_is_known() -> None:
    steps = [
        step(inference_us=None),
        step(submitted_us=None),
        step(inference_us=300),
        *(step(status=status) for status in ("failed", "unfinished", "running")),
        step(attempt=2, finished_us=300),
    ]
    rows = ask(Latency(by=[], percentiles=[50]), steps=steps)
    assert columns(rows, "measure", "n", "value_us") == [
        ("duration", 3, 100.0),
        ("inference", 3, 60.0),
        ("overhead", 2, 20.0),  # -200 and 240
    ]


def test_a_group_of_which_nothing_is_known_is_told_with_n_0() -> None:
    rows = ask(
        Latency(by=["node"], measures=["inference"], percentiles=[50]),
        steps=[step(inference_us=None)],
    )
    assert columns(rows, "node", "n", "value_us", "max_us") == [("a", 0, None, None)]


def test_groups_are_what_is_asked_for_and_unknown_ones_come_last() -> None:
    steps = [
        step(node_id="b", app_id=None, run_status="failed"),
        step(node_id="a", definition="d"),
        step(node_id="b"),
    ]

    def groups(*by: str) -> list[tuple[object, ...]]:
        question = Latency.read({"by": [*by], "measures": "duration", "percentiles": 50})
        return columns(ask(question, steps=steps), *by, "n")

    assert groups("node") == [("a", 1), ("b", 2)]
    assert groups("app") == [("fal-ai/app", 2), (None, 1)]
    assert groups("status", "node") == [
        ("completed", "a", 1),
        ("completed", "b", 1),
        ("failed", "b", 1),
    ]
    assert groups("definition") == [("d", 1), (None, 2)]


def test_buckets_are_of_the_runs_opening() -> None:
    times = [T0, T0 + timedelta(minutes=59), T0 + timedelta(hours=1), None]
    question = Latency(by=[], bucket="hour", measures=["duration"], percentiles=[50])
    rows = ask(question, steps=[step(opened_at=at) for at in times])
    assert columns(rows, "bucket_at", "n") == [(T0, 2), (T0 + timedelta(hours=1), 1), (None, 1)]


def test_runs_are_measured_where_they_completed_unless_statuses_are_asked_for() -> None:
    runs = [
        run("a", duration_us=100, first_event_us=10, queued_us=5),
        run("b", duration_us=300, status="failed"),
        run("c", duration_us=None, status="running"),
    ]
    told = ("measure", "n", "value_us")
    assert columns(ask(Latency(of="runs", percentiles=[50]), runs), *told) == [
        ("duration", 1, 100.0),
        ("first_event", 1, 10.0),
        ("queued", 1, 5.0),
    ]
    by_status = Latency(of="runs", by=["status"], measures=["duration"], percentiles=[50])
    assert columns(ask(by_status, runs), "status", "n", "value_us") == [
        ("completed", 1, 100.0),
        ("failed", 1, 300.0),
        ("running", 0, None),
    ]
    assert columns(ask(FirstEvent(percentiles=[50]), runs), *told) == [("first_event", 1, 10.0)]


def test_nothing_recorded_is_no_rows() -> None:
    assert (
        ask(Latency()) == ask(Latency(by=[])) == ask(Latency(of="runs")) == ask(FirstEvent()) == []
    )


def test_an_answer_too_long_to_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []

    def few(rows: int, field: str) -> None:
        refused.append(rows)
        raise BadQuery(field, "too long")

    monkeypatch.setattr(latency, "refuse_long", few)
    with pytest.raises(BadQuery, match="bucket: too long"):
        ask(Latency(by=["node"]), steps=[step(), step(node_id="b")])
    assert refused == [8]
    assert MAX_ROWS == 100_000


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"by": "run"}, "by: input should be 'workflow', 'node', 'app', 'status' or 'definition'"),
        ({"by": "node,node"}, "by: names something twice"),
        ({"of": "runs", "by": "node"}, "by: of runs any of workflow, status, definition"),
        ({"measures": "queued"}, "measures: of steps any of duration, inference, overhead"),
        ({"percentiles": "50,100"}, "percentiles: input should be less than 100"),
        ({"percentiles": ""}, "percentiles: value should have at least 1 item"),
        ({"confidence": "1"}, "confidence: input should be less than 1"),
        ({"bucket": "year"}, "bucket: input should be 'minute', 'hour', 'day', 'week' or 'month'"),
        ({"since": "now"}, "since: is no time"),
        ({"status": "done"}, "status: input should be 'running', 'completed', 'failed'"),
        ({"nope": 1}, "nope: extra inputs are not permitted"),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters: dict[str, object], said: str) -> None:
    with pytest.raises(BadQuery) as refused:
        Latency.read(parameters)
    assert str(refused.value).startswith(said)
