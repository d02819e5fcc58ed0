"""Critical paths and where the time goes, by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from analytics import paths
from analytics.questions.paths import CriticalPath, RunPath, TimeSpent
from recorder.graph import Graph, read_graph
from recorder.projections.runs import Run
from recorder.projections.steps import Step
from tests.analytics.by_hand import T0, Row, ask, columns, run, step
from tests.builders import WORKFLOW


def graph(**waits: str) -> Graph:
    """A definition's graph: every node and what it waits for, separated by blanks."""
    nodes = {
        name: {"type": "run", "app": "x", "depends": wanted.split(), "input": {}}
        for name, wanted in waits.items()
    }
    return read_graph(json.dumps({"nodes": nodes, "output": {}}).encode())


def timed(node_id: str, submitted_us: int | None, finished_us: int | None, **fields: Any) -> Row:
    times = {"submitted_us": submitted_us, "finished_us": finished_us, "inference_us": None}
    return step(node_id=node_id, **(times | {"definition": "d"} | fields))


DIAMOND = graph(a="", b="a", c="a", d="b c")
DIAMOND_STEPS = [
    timed("a", 10, 110),
    timed("b", 110, 410),
    timed("c", 120, 320),
    timed("d", 430, 530),
]


def test_halving_a_node_saves_no_more_than_the_next_longest_path_allows() -> None:
    rows = ask(
        CriticalPath(),
        [run(definition="d")],
        DIAMOND_STEPS,
        graphs={"d": DIAMOND},
    )
    common = {
        "workflow": WORKFLOW,
        "definition": "d",
        "graph": "definition",
        "runs": 1,
        "left_out": 0,
        "runs_of_node": 1,
    }
    off = {"on_path": 0, "share": 0.0, "saved_mean_us": 0.0, "saved_p50_us": None}
    assert rows == [
        # b could end at 260, but c keeps d waiting until 320.
        common
        | {"node": "b", "on_path": 1, "share": 1.0, "saved_mean_us": 90.0, "saved_p50_us": 90.0},
        common
        | {"node": "a", "on_path": 1, "share": 1.0, "saved_mean_us": 50.0, "saved_p50_us": 50.0},
        common
        | {"node": "d", "on_path": 1, "share": 1.0, "saved_mean_us": 50.0, "saved_p50_us": 50.0},
        common | {"node": "c"} | off,
    ]


def test_shares_and_savings_are_over_all_runs_of_the_definition() -> None:
    slow_c = [timed("a", 0, 100), timed("b", 100, 200), timed("c", 100, 600), timed("d", 600, 700)]
    steps = [*DIAMOND_STEPS, *(each | {"request_id": "other"} for each in slow_c)]
    runs = [run(definition="d"), run("other", definition="d"), run("empty", definition="d")]
    rows = ask(CriticalPath(node="c"), runs, steps, graphs={"d": DIAMOND})
    assert columns(
        rows, "node", "runs", "left_out", "on_path", "share", "saved_mean_us", "saved_p50_us"
    ) == [("c", 2, 1, 1, 0.5, 125.0, 250.0)]


def test_without_a_definition_the_order_of_submits_and_finishes_tells() -> None:
    steps = [each | {"definition": None} for each in DIAMOND_STEPS]
    rows = ask(CriticalPath(), [run()], steps)
    assert columns(rows, "graph", "node", "on_path", "saved_mean_us") == [
        ("observed", "b", 1, 90.0),
        ("observed", "a", 1, 50.0),
        ("observed", "d", 1, 50.0),
        ("observed", "c", 0, 0.0),
    ]


def test_a_graph_tells_apart_what_only_happened_to_come_later() -> None:
    steps = [timed("x", 0, 100), timed("y", 101, 200)]
    side_by_side = {"d": graph(x="", y="")}
    told = ("graph", "node", "on_path", "saved_mean_us")
    assert columns(
        ask(CriticalPath(), [run(definition="d")], steps, graphs=side_by_side), *told
    ) == [
        ("definition", "y", 1, 50.0),
        ("definition", "x", 0, 0.0),
    ]
    assert columns(ask(CriticalPath(), [run(definition="d")], steps), *told) == [
        ("observed", "x", 1, 50.0),
        ("observed", "y", 1, 50.0),
    ]


def test_nodes_without_steps_pass_on_what_they_wait_for() -> None:
    through = {"d": graph(x="", skipped="x", y="skipped")}
    steps = [timed("x", 0, 100), timed("y", 110, 200)]
    rows = ask(CriticalPath(), [run(definition="d")], steps, graphs=through)
    assert columns(rows, "graph", "node", "on_path") == [
        ("definition", "x", 1),
        ("definition", "y", 1),
    ]


def test_a_node_the_definition_does_not_know_makes_the_run_an_observed_one() -> None:
    rows = ask(CriticalPath(), [run(definition="d")], [timed("z", 0, 10)], graphs={"d": DIAMOND})
    assert columns(rows, "graph", "node", "runs") == [("observed", "z", 1)]


def test_all_attempts_of_a_node_are_halved_together() -> None:
    steps = [
        timed("a", 0, 100, status="failed"),
        timed("a", 120, 320, attempt=2),
        timed("b", 320, 420),
    ]
    rows = ask(CriticalPath(), [run(definition="d")], steps, graphs={"d": graph(a="", b="a")})
    assert columns(rows, "node", "runs_of_node", "on_path", "saved_mean_us") == [
        ("a", 1, 1, 150.0),
        ("b", 1, 1, 50.0),
    ]


def test_a_step_submitted_before_what_it_should_wait_for_did_not_wait() -> None:
    steps = [timed("a", 0, 100), timed("b", 50, 80)]
    rows = ask(CriticalPath(), [run(definition="d")], steps, graphs={"d": graph(a="", b="a")})
    assert columns(rows, "node", "on_path", "saved_mean_us") == [("a", 1, 20.0), ("b", 0, 0.0)]


@pytest.mark.parametrize(
    "odd",
    [
        timed("b", None, 200),
        timed("b", 100, None, status="unfinished"),
        timed("b", 200, 100),
    ],
)
def test_runs_with_unknown_times_are_left_out_and_counted(odd: Row) -> None:
    steps = [timed("a", 0, 100), odd, timed("a", 0, 100, request_id="other")]
    rows = ask(CriticalPath(), [run(definition="d"), run("other", definition="d")], steps)
    assert columns(rows, "node", "runs", "left_out") == [("a", 1, 1)]


def test_only_completed_runs_are_measured() -> None:
    steps = [timed("a", 0, 100, run_status="failed")]
    assert ask(CriticalPath(), [run(status="failed")], steps) == ask(CriticalPath()) == []


def test_runs_of_too_many_steps_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_STEPS", 3)
    assert ask(CriticalPath(), [run(definition="d")], DIAMOND_STEPS, graphs={"d": DIAMOND}) == []


def test_steps_of_runs_that_are_mixed_up_are_told_apart() -> None:
    other = [each | {"request_id": "other"} for each in DIAMOND_STEPS]
    mixed = [each for pair in zip(DIAMOND_STEPS, other, strict=True) for each in pair]
    runs = [run(definition="d"), run("other", definition="d")]
    assert ask(CriticalPath(), runs, mixed, graphs={"d": DIAMOND}) == ask(
        CriticalPath(), runs, [*DIAMOND_STEPS, *other], graphs={"d": DIAMOND}
    )


def test_where_the_time_goes() -> None:
    steps = [
        step(node_id="a", submitted_us=10, finished_us=110, inference_us=60),
        step(node_id="b", submitted_us=130, finished_us=330, inference_us=250),
        step("other", node_id="a", submitted_us=0, finished_us=50, inference_us=None),
        step("failed", node_id="a", run_status="failed"),
    ]
    runs = [
        run(duration_us=400),
        run("other", duration_us=100),
        run("failed", status="failed", duration_us=9_000),
    ]
    rows = ask(TimeSpent(), runs, steps)
    assert rows == [
        {
            "workflow": WORKFLOW,
            "node": "b",
            "steps": 1,
            "duration_total_us": 200,
            "duration_p50_us": 200.0,
            "inference_total_us": 250,
            "inference_p50_us": 250.0,
            "overhead_total_us": -50,
            "overhead_p50_us": -50.0,
            "gap_total_us": 20,
            "gap_p50_us": 20.0,
            "share": 0.4,
        },
        {
            "workflow": WORKFLOW,
            "node": "a",
            "steps": 2,
            "duration_total_us": 150,
            "duration_p50_us": 75.0,
            "inference_total_us": 60,
            "inference_p50_us": 60.0,
            "overhead_total_us": 40,
            "overhead_p50_us": 40.0,
            "gap_total_us": 10,
            "gap_p50_us": 5.0,
            "share": 0.3,
        },
    ]
    assert ask(TimeSpent(node="a"), runs, steps) == rows[1:]
    assert ask(TimeSpent(app="none"), runs, steps) == ask(TimeSpent()) == []


def test_gaps_and_shares_are_unknown_where_times_are() -> None:
    rows = ask(TimeSpent(), [run(duration_us=None)], [step(submitted_us=None)])
    assert columns(
        rows, "steps", "duration_total_us", "inference_total_us", "gap_p50_us", "share"
    ) == [(1, None, 60, None, None)]


def test_the_path_of_one_run() -> None:
    steps = {
        (each["node_id"], 1): Step(
            node_id=each["node_id"],
            attempt=1,
            first_seq=number,
            app_id="x",
            status="completed",
            submitted_us=each["submitted_us"],
            finished_us=each["finished_us"],
        )
        for number, each in enumerate(DIAMOND_STEPS)
    }
    whole = Run(
        request_id="run", workflow=WORKFLOW, status="completed", steps=steps, definition="d"
    )
    rows = RunPath(request_id="run").answer_of(whole, {"d": DIAMOND}.get).to_pylist()
    told = ("node", "waited_for", "gap_us", "duration_us", "critical", "saved_us")
    assert columns(rows, *told) == [
        ("a", None, 10, 100, True, 50),
        ("b", "a", 0, 300, True, 90),
        ("c", "a", 10, 200, False, 0),
        ("d", "b", 20, 100, True, 50),
    ]
    nothing = Run(request_id="run", workflow=WORKFLOW, status="running")
    assert RunPath(request_id="run").answer_of(nothing, lambda _: None).num_rows == 0


def test_time_is_of_no_matter_to_paths() -> None:
    unplaced = [each | {"opened_at": None} for each in DIAMOND_STEPS]
    later = [each | {"opened_at": T0 + timedelta(days=400)} for each in DIAMOND_STEPS]
    runs = [run(definition="d")]
    assert ask(CriticalPath(), runs, unplaced) == ask(CriticalPath(), runs, later)
