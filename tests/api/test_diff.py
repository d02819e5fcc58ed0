"""Two runs side by side, over HTTP."""

from __future__ import annotations

import httpx

from api.comparison_models import ComparisonModel
from recorder.bootstrap import Recorder
from tests.api.asserts import problem, wrong_fields
from tests.builders import completion, error, frame, history, opened, output, submit

DIFF = "/api/v1/diff"


def test_two_runs_are_compared(http: httpx.Client, sqlite_rec: Recorder) -> None:
    cat, dog = (opened(name, input=f'{{"prompt": "a {name}"}}') for name in ("cat", "dog"))
    good = [submit("x"), completion("x", inference_s=0.05), output({"url": "1"})]
    bad = [submit("x"), frame({"type": "ping"}), error("x", message="no"), submit("y")]
    sqlite_rec.log.append(history("cat", *good, document=cat))
    sqlite_rec.log.append(history("dog", *bad, document=dog))
    answer = http.get(DIFF, params={"a": "cat", "b": "dog"})
    found = ComparisonModel.model_validate(answer.json())
    assert (found.same_outcome, found.duration_delta_us) == (False, 100_000)
    assert (found.a.status, found.b.status) == ("completed", "failed")
    assert found.b.error is not None
    assert found.b.error.message == "no"
    assert answer.json()["input"] == {
        "changes": [
            {"path": "/prompt", "kind": "changed", "old": "a cat", "new": "a dog", "cut": False}
        ],
        "left_out": 0,
    }
    assert found.output is None
    assert [
        (step.node_id, step.attempt, step.duration_delta_us, step.inference_delta_us)
        for step in found.steps
    ] == [("x", 1, 100_000, None), ("y", 1, None, None)]
    assert found.steps[1].a is None


def test_a_run_that_is_not_there_is_named(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(history("cat"))
    for asked in ({"a": "cat", "b": "none"}, {"a": "none", "b": "cat"}):
        document = problem(http.get(DIFF, params=asked), 404, "run-not-found")
        assert document["detail"] == "no run none"


def test_both_runs_have_to_be_named(http: httpx.Client) -> None:
    assert wrong_fields(http.get(DIFF)) == ["a", "b"]
    assert wrong_fields(http.get(DIFF, params={"a": "1", "b": "2", "c": "3"})) == ["c"]


def test_any_output_makes_an_answer_that_every_parser_reads(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    whats = [
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 5_000 + "}",
        "[" * 500,
    ]
    for number, what in enumerate(whats):
        told = f'{{"type": "output", "output": {what}}}'
        sqlite_rec.log.append(history(f"run-{number}", frame(told)))
    for number in range(1, len(whats)):
        answer = http.get(DIFF, params={"a": "run-0", "b": f"run-{number}"})
        ComparisonModel.model_validate_json(answer.content)
