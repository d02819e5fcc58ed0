"""Two runs side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.comparison import (
    MAX_CHANGES,
    MAX_VALUE_CHARACTERS,
    Change,
    Comparison,
    Difference,
    Side,
    compare,
    difference,
    side,
)
from recorder.documents import Opened
from recorder.projections.runs import fold, new_run
from tests.builders import (
    Happening,
    answer,
    completion,
    error,
    exchange,
    frame,
    history,
    logged,
    opened,
    output,
    submit,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def told(node_id: str, **fields: Any) -> bytes:
    """A completion with this output."""
    return frame({"type": "completion", "node_id": node_id, "output": fields})


def one(request_id: str, *frames: bytes, given: str | None = None, **fields: Any) -> Side:
    """A side of a run of these frames."""
    return of(request_id, opened(request_id, input=given, **fields), *frames)


def of(request_id: str, document: Opened, *whats: Any) -> Side:
    events = logged(history(request_id, *whats, document=document))
    return side(fold(new_run(request_id), events), events)


def steps(compared: Comparison) -> list[tuple[str, int, int | None, int | None]]:
    return [
        (step.node_id, step.attempt, step.duration_delta_us, step.inference_delta_us)
        for step in compared.steps
    ]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1, "b": [1, {"c": "x"}]}, {"b": [1, {"c": "x"}], "a": 1.0}, []),
        ({"a": 1}, {"a": 2}, [Change("/a", "changed", 1, 2)]),
        ({"a": 1}, {}, [Change("/a", "removed", 1)]),
        ({}, {"a": None}, [Change("/a", "added", None, None)]),
        ([1, 2], [1, 3, 4], [Change("/1", "changed", 2, 3), Change("/2", "added", None, 4)]),
        ([1, 2], [], [Change("/0", "removed", 1), Change("/1", "removed", 2)]),
        (
            {"a": {"b": [{"c": 1}]}},
            {"a": {"b": [{"c": 2}]}},
            [Change("/a/b/0/c", "changed", 1, 2)],
        ),
        ({"a/b~": 1}, {"a/b~": 2}, [Change("/a~1b~0", "changed", 1, 2)]),
        (1, "1", [Change("", "changed", 1, "1")]),
        ({"a": []}, {"a": {}}, [Change("/a", "changed", [], {})]),
        # What Python takes for the same
        ({"a": 1}, {"a": True}, [Change("/a", "changed", 1, True)]),
        (False, 0, [Change("", "changed", False, 0)]),
        # What no JSON parser but Python's takes
        (float("nan"), float("nan"), []),
        (float("nan"), float("-inf"), [Change("", "changed", "nan", "-inf")]),
        ("\ud800", "\ud83d\ude00", [Change("", "changed", "\ufffd", "😀")]),
        (10**308, 1, [Change("", "changed", str(10**308), 1)]),
    ],
    ids=repr,
)
def test_values_differ_where_a_reader_would_say_so(
    old: Any, new: Any, changes: list[Change]
) -> None:
    assert difference(old, new) == Difference(changes)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert difference(value, value) == Difference()


@given(JSON, JSON)
def test_what_differs_can_be_told_in_strict_json(old: Any, new: Any) -> None:
    for change in difference(old, new).changes:
        json.dumps([change.path, change.old, change.new], allow_nan=False).encode()


@given(JSON, JSON)
def test_the_other_way_round_added_is_removed_and_old_is_new(old: Any, new: Any) -> None:
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    forth = [(c.path, c.kind, repr(c.old), repr(c.new)) for c in difference(old, new).changes]
    back = [
        (c.path, turned[c.kind], repr(c.new), repr(c.old)) for c in difference(new, old).changes
    ]
    assert sorted(forth) == sorted(back)


def test_a_big_value_is_cut_and_says_so() -> None:
    [change] = difference("x", "y" * 1_000_000).changes
    assert (change.old, change.cut) == ("x", True)
    assert change.new == '"' + "y" * (MAX_VALUE_CHARACTERS - 2) + "…"


def test_many_changes_are_counted_beyond_a_limit() -> None:
    found = difference([0] * 1_000, [1] * 1_000)
    assert (len(found.changes), found.left_out) == (MAX_CHANGES, 1_000 - MAX_CHANGES)


def test_steps_are_matched_by_node_and_attempt_and_those_of_one_run_stand_alone() -> None:
    a = one("a", submit("x"), completion("x", inference_s=0.1), submit("y"), submit("y"))
    b = one("b", submit("z"), submit("x"), output(), completion("x", inference_s=0.05))
    compared = compare(a, b)
    assert steps(compared) == [
        ("x", 1, 100_000, -50_000),
        ("y", 1, None, None),
        ("y", 2, None, None),
        ("z", 1, None, None),
    ]
    sides = [(step.a is not None, step.b is not None) for step in compared.steps]
    assert sides == [(True, True), (True, False), (True, False), (False, True)]


def test_the_runs_tell_their_outcome_and_how_much_longer_the_second_took() -> None:
    good, bad = one("a", submit("x"), output()), one("b", submit("x"), error("x"), submit("z"))
    compared = compare(good, bad)
    assert (compared.a, compared.b) == (good.run, bad.run)
    assert (compared.same_outcome, compared.duration_delta_us) == (False, 100_000)
    assert compare(good, good).same_outcome


def test_inputs_and_outputs_are_compared_as_values() -> None:
    a = one("a", told("x", seed=1), output({"url": "1"}), given='{"prompt": "cat", "n": 1}')
    b = one("b", told("x", seed=2), output({"url": "1"}), given='{"n":1.0,"prompt":"dog"}')
    compared = compare(a, b)
    assert compared.input == Difference([Change("/prompt", "changed", "cat", "dog")])
    assert compared.output == Difference()
    assert compared.steps[0].output == Difference([Change("/seed", "changed", 1, 2)])


def test_an_output_goes_with_the_attempt_it_ended() -> None:
    frames = [submit("x", step="1"), submit("x", step="2")]
    second = frame({"type": "completion", "node_id": "x", "request_id": "2", "output": {"n": 2}})
    first = frame({"type": "completion", "node_id": "x", "request_id": "1", "output": {"n": 1}})
    assert one("a", *frames, second, first).outputs == {
        ("x", 1): b'{"n": 1}',
        ("x", 2): b'{"n": 2}',
    }


def test_what_is_not_recorded_is_not_compared() -> None:
    compared = compare(one("a", submit("x")), one("b", submit("x"), output(), given="{}"))
    assert (compared.input, compared.output, compared.steps[0].output) == (None, None, None)


def test_an_input_that_is_no_json_is_compared_as_text() -> None:
    compared = compare(one("a", given="a=1"), one("b", given="{" * 200))
    assert compared.input == Difference([Change("", "changed", "a=1", "{" * 200)])


@pytest.mark.parametrize(
    ("mode", "whats"),
    [
        ("stream", [output({"n": 1}), output({"n": 2})]),
        ("call", [answer({"n": 2})]),
        (
            "queue",
            [
                exchange("submit", 200, {"request_id": "a"}),
                exchange("result", 422, {"detail": "x"}),
                exchange("result", 200, {"n": 1}),
                exchange("result", 200, {"n": 2}),
            ],
        ),
    ],
)
def test_the_output_is_the_last_result_however_the_run_was_called(
    mode: str, whats: list[Happening]
) -> None:
    assert of("a", opened("a", mode=mode), *whats).output == b'{"n": 2}'


def test_a_result_in_pieces_is_put_together() -> None:
    pieces = [
        exchange("result", 200, '{"n":'),
        exchange("result", 200, " 2}", part=1),
    ]
    assert of("a", opened("a", mode="queue"), *pieces).output == b'{"n": 2}'
    halves = [(answer()[0], b'{"n":'), (answer()[0], b" 2}")]
    assert of("a", opened("a", mode="call"), *halves).output == b'{"n": 2}'
