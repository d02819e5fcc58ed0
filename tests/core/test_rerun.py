"""What a run is started with once more."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from recorder.errors import BadQuery, NotRerunnable
from recorder.events import LoggedEvent
from recorder.rerun import Again, again, changed
from tests.builders import WORKFLOW, logged, new_event, opened, submit

BODY = (
    b'{"prompt": "a cat", "seed": 12345678901234567890.10, "size": {"w": 8}, "loras": [{"s": 1}]}'
)


def first(**fields: Any) -> LoggedEvent:
    """A run's first event."""
    return logged([new_event("run", 0, opened("run", **fields))])[0]


def test_without_changes_the_input_is_the_same_bytes() -> None:
    assert again(first(input=BODY.decode()), {}) == Again("run", WORKFLOW, BODY, "stream")
    assert again(first(input_base64="/w=="), {}) == Again("run", WORKFLOW, b"\xff", "stream")


@pytest.mark.parametrize(
    ("was", "mode"), [("stream", "stream"), ("call", "call"), ("queue", "stream")]
)
def test_a_call_stays_a_call_and_all_else_is_started_for_its_stream(was: str, mode: str) -> None:
    assert again(first(input="{}", mode=was), {}).mode == mode


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt": "a dog"}, {"prompt": "a dog"}),
        ({"new": None}, {"new": None}),
        ({"size.w": 9}, {"size": {"w": 9}}),
        ({"size.h": 9}, {"size": {"w": 8, "h": 9}}),
        ({"a.b.c": 1}, {"a": {"b": {"c": 1}}}),
        ({"loras.0.s": 2}, {"loras": [{"s": 2}]}),
        ({"loras.0": 2}, {"loras": [2]}),
        ({"size": 1, "prompt": 2}, {"size": 1, "prompt": 2}),
    ],
)
def test_changed_fields_are_put_where_they_are_named(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert json.loads(changed(BODY, changes)) == json.loads(BODY) | expected


def test_the_fields_beside_a_changed_one_keep_their_bytes() -> None:
    assert changed(BODY, {"prompt": "a dog"}) == (
        b'{"prompt":"a dog","seed":12345678901234567890.10,"size":{"w": 8},"loras":[{"s": 1}]}'
    )


def test_a_field_whose_whole_name_has_a_dot_is_that_field() -> None:
    assert json.loads(changed(b'{"a.b": 1}', {"a.b": 2})) == {"a.b": 2}


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b"[1]", "a", "the run's input is no JSON object"),
        (b"a=1", "a", "the run's input is no JSON object"),
        (b"[" * 100_000, "a", "the run's input is no JSON object"),
        (BODY, "prompt.x", "prompt.x: nothing can be put into a value that is no object or list"),
        (BODY, "size.w.x", "size.w.x: nothing can be put into a value that is no object or list"),
        (BODY, "loras.1", "loras.1: '1' is no place of a list of 1"),
        (BODY, "loras.-1", "loras.-1: '-1' is no place of a list of 1"),
        (BODY, "loras.x.s", "loras.x.s: 'x' is no place of a list of 1"),
        (BODY, "loras.٠", "loras.٠: '٠' is no place of a list of 1"),
        (BODY, "loras." + "9" * 5_000, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_change_that_does_not_fit_is_refused(body: bytes, path: str, reason: str | None) -> None:
    with pytest.raises(BadQuery) as raised:
        changed(body, {path: 1})
    assert raised.value.field == "set"
    assert reason in (None, raised.value.reason)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (first(), "its input is not recorded"),
        (logged([new_event("run", 0, submit("a"))])[0], "its input is not recorded"),
        (
            msgspec.structs.replace(first(input="{}"), frame=None, salt=None),
            "its input has been erased",
        ),
        (
            first(input='{"auth": {"tokens": ["x", "[redacted]"]}}'),
            "its input is redacted: give auth.tokens.1 anew",
        ),
    ],
)
def test_what_is_not_in_the_log_cannot_be_started_again(event: LoggedEvent, reason: str) -> None:
    with pytest.raises(NotRerunnable) as raised:
        again(event, {})
    assert str(raised.value) == f"run run cannot be started again: {reason}"


def test_what_was_redacted_can_be_given_anew() -> None:
    event = first(input='{"token": "[redacted]", "text": "a [redacted] word"}')
    assert json.loads(again(event, {"token": "t"}).body) == {
        "token": "t",
        "text": "a [redacted] word",
    }
