"""What holds for the fold of any history, and that every anomaly is documented and reachable."""

from __future__ import annotations

import copy
import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.events import Closed, Event, EventType, Gap, LoggedEvent
from recorder.projections.runs import RunStatus, evolve, fold, new_run
from recorder.projections.steps import StepStatus
from tests import builders
from tests.builders import completion, error, frame, opened, output, submit
from tests.core.runs import history

REACHED: dict[str, list[bytes | Event]] = {
    "bad_inference": [submit("a"), completion("a", inference_s="x")],
    "completion_without_submit": [completion("a")],
    "done_marker": [frame("[DONE]")],
    "duplicate_keys": [frame('{"type":"submit","type":"error"}')],
    "encoded_body": [opened("run-1", response_headers={"content-encoding": "gzip"}, status=None)],
    "erased": [],
    "error_without_node": [error()],
    "error_without_submit": [error("a")],
    "event_after_error": [error("a"), output()],
    "event_after_output": [output(), submit("a")],
    "gap": [Gap(lost_events=1, lost_bytes=9, reason="no room")],
    "invalid_json": [frame("{")],
    "lenient_json": [frame('{"type":"output","output":NaN}')],
    "no_node_id": [submit(None)],
    "no_request_id": [opened("run-1", upstream_request_id=None)],
    "no_type": [frame("{}")],
    "not_an_event_stream": [opened("run-1", response_headers={})],
    "not_an_object": [frame("[]")],
    "not_text": [frame('{"type":"submit","node_id":1}')],
    "oversize": [b"data: a piece"],
    "repeated_completion": [submit("a"), completion("a"), completion("a")],
    "repeated_error": [submit("a"), error("a"), error("a")],
    "repeated_output": [output(), output()],
    "repeated_submit": [submit("a"), submit("a")],
    "reused_request_id": [opened("run-2")],
    "trailing_bytes": [Closed(reason="eof", trailing="x")],
    "unknown_type": [frame('{"type":"progress"}')],
}


def documented_anomalies() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "anomalies.md").read_text()
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_the_documented_anomalies_are_those_shown_here() -> None:
    assert documented_anomalies() == sorted(REACHED)


@pytest.mark.parametrize("name", sorted(REACHED))
def test_an_anomaly_can_be_reached(name: str) -> None:
    events = history(*(REACHED[name] or [frame("[DONE]")]))
    if name == "erased":
        events = [msgspec.structs.replace(each, frame=None, salt=None) for each in events]
    assert fold(new_run("run-1"), events).anomalies[name] == 1


@pytest.mark.parametrize("kind", get_args(EventType))
def test_an_event_of_every_type_is_folded(kind: EventType) -> None:
    [logged] = history(frame("[DONE]"))
    erased = msgspec.structs.replace(logged, type=kind, frame=None, salt=None)
    assert fold(new_run("run-1"), [erased]).events == 1


nodes = st.sampled_from(["a", "b", "", None])
step_ids = st.sampled_from(["s1", "s2", None])
whats: st.SearchStrategy[bytes | Event] = st.one_of(
    st.builds(submit, nodes, step=step_ids),
    st.builds(submit, nodes, step=step_ids),
    st.builds(
        completion,
        nodes,
        step=step_ids,
        inference_s=st.none() | st.floats() | st.integers() | st.sampled_from(["x"]),
    ),
    st.builds(completion, nodes, step=step_ids),
    st.builds(error, nodes, body=st.none() | st.text(max_size=3) | st.lists(st.integers())),
    st.builds(output),
    st.text(max_size=20).map(frame),
    st.sampled_from([frame("[DONE]"), frame("{}"), frame('{"type":"x"}'), b"data: piece"]),
    st.builds(
        Closed,
        reason=st.sampled_from(["eof", "cut", "client_gone", "timeout", "refused", "error"]),
        trailing=st.none() | st.just("x"),
    ),
    st.builds(
        opened,
        st.sampled_from(["run-1", "run-2"]),
        status=st.sampled_from([None, 200, 302, 500]),
        timed=st.booleans(),
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> list[LoggedEvent]:
    """Any history, opened or not, closed or not or in the middle, with time going on."""
    chosen = draw(st.lists(whats, max_size=20))
    elapsed_us = 0
    events = []
    for seq, what in enumerate(chosen):
        elapsed_us += draw(st.integers(0, 1_000))
        events.append(builders.new_event("run-1", seq, what, elapsed_us=elapsed_us))
    erased = draw(st.sets(st.integers(0, 20), max_size=3))
    return [
        msgspec.structs.replace(each, frame=None, salt=None) if each.seq in erased else each
        for each in builders.logged(events, after=draw(st.integers(0, 5)))
    ]


@settings(max_examples=300, deadline=None)
@given(histories(), st.lists(st.integers(0, 20), max_size=5))
def test_a_history_folded_in_any_batches_gives_the_same_run(
    events: list[LoggedEvent], cuts: list[int]
) -> None:
    at_once = fold(new_run("run-1"), events)
    one_by_one = in_batches = new_run("run-1")
    for each in events:
        one_by_one = evolve(one_by_one, each)
    edges = sorted({0, *cuts, len(events)})
    for start, end in pairwise(edges):
        in_batches = fold(in_batches, events[start:end])
    assert one_by_one == at_once
    assert in_batches == at_once


@settings(max_examples=300, deadline=None)
@given(histories(), st.integers(0, 20))
def test_a_fold_leaves_the_state_it_was_given_as_it_was(
    events: list[LoggedEvent], cut: int
) -> None:
    before = fold(new_run("run-1"), events[:cut])
    copied = copy.deepcopy(before)
    first = fold(before, events[cut:])
    assert before == copied
    assert fold(before, events[cut:]) == first


@settings(max_examples=300, deadline=None)
@given(histories())
def test_what_holds_for_every_run(events: list[LoggedEvent]) -> None:
    state = fold(new_run("run-1"), events)
    assert state.events == len(events)
    assert state.as_of_position == (events[-1].position if events else 0)
    assert state.status in get_args(RunStatus)
    assert {each.status for each in state.steps.values()} <= set(get_args(StepStatus))
    durations = [state.duration_us, *(each.duration_us for each in state.steps.values())]
    assert all(duration is None or duration >= 0 for duration in durations)
    assert set(state.anomalies) <= set(REACHED)
    assert all(count > 0 for count in state.anomalies.values())
    attempts = [(each.node_id, each.attempt) for each in state.steps.values()]
    assert attempts == list(state.steps)
    for node_id in {node_id for node_id, _ in attempts}:
        mine = sorted(attempt for node, attempt in attempts if node == node_id)
        assert mine == list(range(1, len(mine) + 1))
