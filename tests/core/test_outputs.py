"""Facts of outputs: what fal documents, what its apps do instead, and what nobody should."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.bodies import Part
from recorder.events import Exchange, Opened
from recorder.projections.outputs import MAX_PIXELS, NO_FACTS, Facts, read_output
from recorder.projections.runs import Run, fold, new_run
from tests.builders import (
    answer,
    completion,
    exchange,
    frame,
    history,
    logged,
    opened,
    output,
    submit,
)

BOTTOMLESS = 200_000
SIZED = {"url": "https://fal.media/a.jpeg", "width": 1024, "height": 768}
WHOLE = {"images": [SIZED], "seed": 6252023, "has_nsfw_concepts": [False], "timings": {}}

SENSE: list[tuple[Any, Facts]] = [
    (WHOLE, Facts(1, 1024, 768, "6252023", 0)),
    ({"images": [SIZED, {"width": 1}]}, Facts(2, 1024, 768)),
    ({"images": []}, Facts(0)),
    ({"image": SIZED}, Facts(1, 1024, 768)),
    ({"image": {"url": "u", "width": None}}, Facts(1)),
    ({"images": ["https://fal.media/a.jpeg", SIZED]}, Facts(2)),
    ({"images": [{"width": 1024.0, "height": 768}]}, Facts(1, None, 768)),
    ({"images": [{"width": MAX_PIXELS, "height": 1}]}, Facts(1, MAX_PIXELS, 1)),
    ({"seed": 0}, Facts(seed="0")),
    ({"seed": -7}, Facts(seed="-7")),
    ({"seed": 2**64}, Facts(seed="18446744073709551616")),
    ({"has_nsfw_concepts": [True, False, True]}, Facts(nsfw=2)),
    ({"has_nsfw_concepts": []}, Facts(nsfw=0)),
    ({"has_nsfw_concepts": True}, Facts(nsfw=1)),
    ({"images": [SIZED], "seed": float("nan")}, Facts(1, 1024, 768)),
    ({"images": [SIZED], "prompt": "\ud800"}, Facts(1, 1024, 768)),
]
NONSENSE: list[Any] = [
    None, True, 5, "images", [], [SIZED], {}, {"images": None},
    {"images": 3}, {"images": [3]}, {"images": [None]}, {"images": [[SIZED]]}, {"image": 1},
    {"width": 1024, "height": 768}, {"output": WHOLE},
    {"seed": True}, {"seed": 1.0}, {"seed": 1e3}, {"seed": "12"}, {"seed": [1]}, {"seed": 2**256},
    {"seed": -(2**256)}, {"seed": float("inf")},
    {"has_nsfw_concepts": 1}, {"has_nsfw_concepts": [1]}, {"has_nsfw_concepts": [True, None]},
    {"has_nsfw_concepts": "yes"}, {"has_nsfw_concepts": {"0": True}},
]  # fmt: skip
NO_SIZES: list[Any] = [0, -1, MAX_PIXELS + 1, 10**30, True, "1024", [1024], {}, float("nan"), None]
RAW: list[tuple[bytes | None, Facts]] = [
    (None, NO_FACTS),
    (b"", NO_FACTS),
    (b"{", NO_FACTS),
    (b"\xff\xff\xff", NO_FACTS),
    (b'{"seed":' + b"9" * 400 + b"}", NO_FACTS),
    (b'{"seed":' + b"9" * 100_000 + b"}", NO_FACTS),
    (b'{"images":[{"width":' + b"9" * 5_000 + b',"height":7}]}', Facts(1, None, 7)),
    (b'{"images":' + b"[" * BOTTOMLESS + b"]" * BOTTOMLESS + b"}", NO_FACTS),
    (b'{"other":' + b'{"a":' * BOTTOMLESS + b"1" + b"}" * BOTTOMLESS + b"}", NO_FACTS),
    (b"[" * BOTTOMLESS, NO_FACTS),
    (b'{"seed":1,"seed":2}', Facts(seed="2")),
]


@pytest.mark.parametrize(("value", "facts"), SENSE)
def test_an_output_tells(value: Any, facts: Facts) -> None:
    assert read_output(json.dumps(value).encode()).facts == facts


@pytest.mark.parametrize("value", NONSENSE)
def test_an_output_tells_nothing(value: Any) -> None:
    assert read_output(json.dumps(value).encode()).facts == NO_FACTS


@pytest.mark.parametrize("value", NO_SIZES)
def test_no_picture_has_such_a_size(value: Any) -> None:
    raw = json.dumps({"images": [{"width": value, "height": value}]}).encode()
    assert read_output(raw).facts == Facts(1)


@pytest.mark.parametrize(("raw", "facts"), RAW, ids=range(len(RAW)))
def test_bytes_tell(raw: bytes | None, facts: Facts) -> None:
    assert read_output(raw).facts == facts


words = st.sampled_from(
    ["images", "image", "seed", "has_nsfw_concepts", "timings", "width", "height", "inference"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4)
)


@settings(max_examples=300, deadline=None)
@given(values)
def test_an_output_of_any_shape_is_read_and_fits_its_columns(value: Any) -> None:
    facts = read_output(json.dumps(value).encode()).facts
    for number in (facts.images, facts.image_width, facts.image_height, facts.nsfw):
        assert number is None or (type(number) is int and 0 <= number < 2**63)
    assert facts.seed is None or str(int(facts.seed)) == facts.seed


# Whose facts they are


def folded(document: Opened, *frames: bytes | Exchange | Part) -> Run:
    return fold(new_run("run-1"), logged(history("run-1", *frames, document=document)))


def telling(value: Any) -> bytes:
    return frame({"type": "completion", "node_id": "a", "app_id": "fal-ai/app", "output": value})


def test_a_step_has_the_facts_of_its_completion_and_a_run_those_of_its_first_output() -> None:
    told = folded(
        opened("run-1"), submit("a"), telling(WHOLE), output({"images": [SIZED] * 2}), output(WHOLE)
    )
    assert told.steps["a", 1].facts == Facts(1, 1024, 768, "6252023", 0)
    assert told.facts == Facts(2, 1024, 768)


def test_a_step_without_an_output_has_no_facts() -> None:
    told = folded(opened("run-1"), submit("a"), completion("a"), submit("b"))
    assert [step.facts for step in told.steps.values()] == [NO_FACTS, NO_FACTS]
    assert told.facts == NO_FACTS


def test_a_plain_call_has_the_facts_of_its_answer_and_so_has_its_only_step() -> None:
    told = folded(opened("run-1", mode="call", workflow="fal-ai/app"), answer(WHOLE))
    assert told.facts == Facts(1, 1024, 768, "6252023", 0)
    assert told.steps["fal-ai/app", 1].facts == told.facts


@pytest.mark.parametrize(
    "result", [exchange("result", 200, WHOLE), exchange("webhook", None, {"status": "OK", "payload": WHOLE})]
)  # fmt: skip
def test_a_queued_run_has_the_facts_of_its_result(result: Exchange) -> None:
    told = folded(opened("run-1", mode="queue", workflow="fal-ai/app"), result)
    assert told.facts == Facts(1, 1024, 768, "6252023", 0)
    assert told.steps["fal-ai/app", 1].facts == told.facts
