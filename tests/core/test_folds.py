"""The fold of a run: hand-worked histories with the whole state."""

from __future__ import annotations

from typing import Any

import pytest

from recorder.events import Closed
from recorder.projections.runs import Run
from recorder.projections.steps import MAX_BODY_CHARACTERS, Failure
from tests.builders import completion, error, frame, opened, output, submit
from tests.core.runs import EOF, OPENED, folded, run, step


def test_the_documented_sticker_run() -> None:
    assert folded(
        OPENED,
        submit("stable_diffusion_xl", app_id="fal-ai/fast-sdxl", step="d778bdf4"),
        completion("stable_diffusion_xl", app_id=None, inference_s=0.0733),
        submit("rembg", app_id="fal-ai/imageutils/rembg", step="0275"),
        completion("rembg", app_id=None),
        submit("face_to_sticker", app_id="fal-ai/face-to-sticker", step="47c2"),
        completion("face_to_sticker", app_id=None, inference_s=2),
        output(),
        EOF,
    ) == run(
        9,
        step(
            "stable_diffusion_xl",
            1,
            2,
            app_id="fal-ai/fast-sdxl",
            step_request_id="d778bdf4",
            inference_us=73_300,
        ),
        step("rembg", 3, 4, app_id="fal-ai/imageutils/rembg", step_request_id="0275"),
        step(
            "face_to_sticker",
            5,
            6,
            app_id="fal-ai/face-to-sticker",
            step_request_id="47c2",
            inference_us=2_000_000,
        ),
    )


def test_a_steps_overhead_is_what_its_inference_leaves_and_may_be_negative() -> None:
    steps = [
        step("known", 1, 2, inference_us=30_000),
        step("more than passed", 1, 2, inference_us=2_000_000),
        step("unknown", 1, 2),
        step("without a start", 1, 2, submitted_us=None, inference_us=30_000),
        step("without an end", 1),
    ]
    assert [(each.duration_us, each.overhead_us) for each in steps] == [
        (100_000, 70_000),
        (100_000, -1_900_000),
        (100_000, None),
        (None, None),
        (None, None),
    ]


def test_nothing_yet() -> None:
    assert folded() == Run(request_id="run-1")


def test_a_run_under_way() -> None:
    assert folded(OPENED, submit("a")) == run(
        2,
        step("a", 1, status="running"),
        status="running",
        closed_at=None,
        duration_us=None,
        close_reason=None,
    )


def test_parallel_nodes_are_told_apart() -> None:
    events = (
        OPENED,
        submit("b"),
        submit("a"),
        completion("a"),
        submit("c/d-2"),
        completion("b"),
        completion("c/d-2"),
        output(),
        EOF,
    )
    expected = run(9, step("b", 1, 5), step("a", 2, 3), step("c/d-2", 4, 6))
    assert folded(*events) == expected
    assert [each.node_id for each in folded(*events).ordered_steps()] == ["b", "a", "c/d-2"]


def test_an_error_fails_its_step_and_the_run() -> None:
    failure = Failure(message="no such thing", status=422, body='{"detail": []}')
    assert folded(
        OPENED,
        submit("a"),
        submit("b"),
        error("a", message="no such thing", status=422, body={"detail": []}),
        EOF,
    ) == run(
        5,
        step("a", 1, 3, status="failed", error=failure),
        step("b", 2),
        status="failed",
        error=failure,
    )


def test_an_error_without_a_node_is_the_runs() -> None:
    assert folded(OPENED, submit("a"), error(message="too much"), EOF) == run(
        4,
        step("a", 1),
        status="failed",
        error=Failure(message="too much", status=500, body="null"),
        anomalies={"error_without_node": 1},
    )


def test_only_the_first_error_is_the_runs() -> None:
    first, second = (
        Failure(message="1", status=1, body="null"),
        Failure(message="2", status=2, body="null"),
    )
    assert folded(
        OPENED,
        submit("a"),
        submit("b"),
        error("a", message="1", status=1),
        error("b", message="2", status=2),
        EOF,
    ) == run(
        6,
        step("a", 1, 3, status="failed", error=first),
        step("b", 2, 4, status="failed", error=second),
        status="failed",
        error=first,
        anomalies={"event_after_error": 1},
    )


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        ('{"type":"error","node_id":"a"}', Failure()),
        ('{"type":"error","node_id":"a","error":null}', Failure(body="null")),
        ('{"type":"error","node_id":"a","error":"boom"}', Failure(body='"boom"')),
        ('{"type":"error","node_id":"a","error":[1]}', Failure(body="[1]")),
        ('{"type":"error","node_id":"a","error":{"status":500}}', Failure(status=500, body='{"status":500}')),
        ('{"type":"error","node_id":"a","error":{"body":"b"}}', Failure(body='"b"')),
        ('{"type":"error","node_id":"a","error":{"status":true,"body":1}}', Failure(body="1")),
        ('{"type":"error","node_id":"a","error":{"status":"500","body":1}}', Failure(body="1")),
        ('{"type":"error","node_id":"a","error":{"status":-1,"body":1}}', Failure(body="1")),
        ('{"type":"error","node_id":"a","error":{"status":1000,"body":1}}', Failure(body="1")),
        ('{"type":"error","node_id":"a","error":{"body":"\\ud800"},"x":NaN}', Failure(body='"\\ud800"')),
        (
            '{"type":"error","node_id":"a","error":{"seed":' + "9" * 5_000 + "}}",
            Failure(body='{"seed":' + "9" * 5_000 + "}"),
        ),
        (
            '{"type":"error","node_id":"a","error":{"status":413,"body":"' + "x" * MAX_BODY_CHARACTERS + '"}}',
            Failure(status=413),
        ),
    ],
    ids=lambda value: value[:70] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_failure_is_read_from_whatever_the_error_is(payload: str, failure: Failure) -> None:
    failed = folded(OPENED, submit("a"), frame(payload))
    assert (failed.error, failed.steps["a", 1].error) == (failure, failure)


def test_a_refused_run_has_upstreams_status_and_body() -> None:
    document = opened("run-1", status=422, response_headers={"content-type": "application/json"})
    closed = Closed(reason="refused", detail="upstream answered 422", trailing='{"detail":[]}')
    assert folded(document, closed) == run(
        2,
        status="failed",
        first_event_us=None,
        close_reason="refused",
        error=Failure(message="upstream answered 422", status=422, body='{"detail":[]}'),
    )


def test_a_refused_runs_body_stays_in_the_log_where_it_is_long_or_no_text() -> None:
    document = opened("run-1", status=500)
    for closed in (
        Closed(reason="refused", trailing="x" * (MAX_BODY_CHARACTERS + 1)),
        Closed(reason="refused", trailing_base64="/w=="),
        Closed(reason="refused"),
    ):
        refused = folded(document, closed)
        assert refused.error == Failure(message="refused", status=500)
        assert refused.anomalies == {}


def test_a_cut_run_is_interrupted_and_its_steps_are_unfinished() -> None:
    closed = Closed(reason="cut", detail="ReadError", trailing='data: {"type"')
    assert folded(OPENED, submit("a"), completion("a"), submit("b"), closed) == run(
        5,
        step("a", 1, 2),
        step("b", 3),
        status="interrupted",
        close_reason="cut",
        error=Failure(message="ReadError"),
        anomalies={"trailing_bytes": 1},
    )


def test_a_run_cut_after_its_output_is_completed_all_the_same() -> None:
    assert folded(OPENED, output(), Closed(reason="cut", detail="ReadError")) == run(
        3, close_reason="cut", error=Failure(message="ReadError")
    )


def test_a_run_whose_client_left_is_cancelled() -> None:
    assert folded(OPENED, submit("a"), Closed(reason="client_gone")) == run(
        3, step("a", 1), status="cancelled", close_reason="client_gone"
    )


@pytest.mark.parametrize("reason", ["recorder_lost", "timeout", "error"])
def test_a_run_that_could_not_be_followed_to_its_end_is_interrupted(reason: Any) -> None:
    assert folded(OPENED, submit("a"), Closed(reason=reason)) == run(
        3,
        step("a", 1),
        status="interrupted",
        close_reason=reason,
        error=Failure(message=reason),
    )


def test_a_stream_that_ends_without_output_or_error_is_interrupted() -> None:
    assert folded(OPENED, EOF) == run(2, status="interrupted", first_event_us=None)


@pytest.mark.parametrize(
    ("at_open", "at_close", "told"),
    [(None, None, None), ("a", None, "a"), (None, "b", "b"), ("a", "b", "b")],
)
def test_a_definition_is_the_one_known_last(
    at_open: str | None, at_close: str | None, told: str | None
) -> None:
    closed = Closed(reason="eof", definition=at_close)
    assert folded(opened("run-1", definition=at_open), output(), closed).definition == told
