"""The fold of odd histories: hand-worked, with the whole state and the anomalies counted."""

from __future__ import annotations

import re

import msgspec
import pytest

from recorder.events import Event
from recorder.projections.queue import Queue, tell
from recorder.projections.runs import fold, new_run
from recorder.projections.steps import Failure
from tests.builders import (
    STEP_US,
    completion,
    error,
    exchange,
    frame,
    logged,
    new_event,
    opened,
    output,
    submit,
)
from tests.core.runs import EOF, OPENED, folded, history, run, step


def test_a_completion_without_a_submit_has_an_unknown_start() -> None:
    assert folded(OPENED, completion("a", inference_s=1, step="s1"), output(), EOF) == run(
        4,
        step("a", 1, 1, submitted_us=None, inference_us=1_000_000, step_request_id="s1"),
        anomalies={"completion_without_submit": 1},
    )


def test_an_error_without_a_submit_has_an_unknown_start_too() -> None:
    failure = Failure(message="it broke", status=500, body="null")
    assert folded(OPENED, error("a"), EOF) == run(
        3,
        step("a", 1, 1, app_id=None, submitted_us=None, status="failed", error=failure),
        status="failed",
        error=failure,
        anomalies={"error_without_submit": 1},
    )


def test_times_that_go_back_make_no_negative_duration() -> None:
    """Those who send events in say themselves how much time had passed."""
    happened: list[Event | bytes] = [OPENED, submit("a"), completion("a")]
    sent = [
        new_event("run-1", seq, what, elapsed_us=(9 - seq) * STEP_US)
        for seq, what in enumerate(happened)
    ]
    [step] = fold(new_run("run-1"), logged(sent)).ordered_steps()
    assert (step.submitted_us, step.duration_us) == (8 * STEP_US, 0)


def test_nor_do_they_in_the_queue() -> None:
    queue = tell(Queue(), exchange("status", body={"status": "IN_PROGRESS"}), 2 * STEP_US).queue
    queue = tell(queue, exchange("result", body={}), STEP_US).queue
    assert (queue.started_us, queue.running_us) == (2 * STEP_US, 0)


def test_a_submit_after_its_completion_is_another_attempt() -> None:
    assert folded(OPENED, completion("a"), submit("a"), output(), EOF) == run(
        5,
        step("a", 1, 1, submitted_us=None),
        step("a", 2, attempt=2),
        anomalies={"completion_without_submit": 1, "repeated_submit": 1},
    )


def test_repeated_submits_are_attempts() -> None:
    events = (
        OPENED,
        submit("a", step="s1"),
        error("a"),
        submit("a", step="s2"),
        completion("a"),
        output(),
        EOF,
    )
    failure = Failure(message="it broke", status=500, body="null")
    assert folded(*events) == run(
        7,
        step("a", 1, 2, step_request_id="s1", status="failed", error=failure),
        step("a", 3, 4, attempt=2, step_request_id="s2"),
        error=failure,
        anomalies={"repeated_submit": 1, "event_after_error": 3},
    )
    assert [each.attempt for each in folded(*events).ordered_steps()] == [1, 2]


def test_a_completion_ends_the_attempt_it_names_and_else_the_latest() -> None:
    assert folded(
        OPENED,
        submit("a", step="s1"),
        submit("a", step="s2"),
        submit("a", step="s3"),
        completion("a", step="s1"),
        completion("a", step="of nobody"),
        output(),
        EOF,
    ) == run(
        8,
        step("a", 1, 4, step_request_id="s1"),
        step("a", 2, attempt=2, step_request_id="s2"),
        step("a", 3, 5, attempt=3, step_request_id="s3"),
        anomalies={"repeated_submit": 2},
    )


def test_a_step_request_id_names_an_attempt_of_its_own_node_only() -> None:
    assert folded(
        OPENED, submit("a", step="s"), submit("b", step="s"), completion("a", step="s"), EOF
    ) == run(
        5,
        step("a", 1, 3, step_request_id="s"),
        step("b", 2, step_request_id="s"),
        status="interrupted",
    )


def test_what_is_repeated_changes_nothing_and_is_counted() -> None:
    assert folded(
        OPENED,
        submit("a"),
        completion("a", inference_s=0.01),
        completion("a", inference_s=9),
        completion("a", inference_s="nonsense"),
        output(),
        EOF,
    ) == run(
        7,
        step("a", 1, 2, inference_us=10_000),
        anomalies={"repeated_completion": 2},
    )


def test_an_error_after_its_steps_completion_fails_the_run_and_leaves_the_step() -> None:
    assert folded(OPENED, submit("a"), completion("a"), error("a"), EOF) == run(
        5,
        step("a", 1, 2),
        status="failed",
        error=Failure(message="it broke", status=500, body="null"),
        anomalies={"repeated_error": 1},
    )


def test_events_after_the_output_are_folded_and_counted() -> None:
    assert folded(
        OPENED, submit("a"), output(), completion("a"), frame("[DONE]"), output(), EOF
    ) == run(
        7,
        step("a", 1, 3),
        anomalies={"event_after_output": 3, "done_marker": 1, "repeated_output": 1},
    )


def test_an_error_after_the_output_leaves_the_run_completed() -> None:
    assert folded(OPENED, output(), error(), EOF) == run(
        4,
        error=Failure(message="it broke", status=500, body="null"),
        anomalies={"event_after_output": 1, "error_without_node": 1},
    )


def test_an_output_after_an_error_completes_the_run() -> None:
    assert folded(OPENED, submit("a"), error("a"), submit("b"), output(), EOF) == run(
        6,
        step(
            "a",
            1,
            2,
            status="failed",
            error=Failure(message="it broke", status=500, body="null"),
        ),
        step("b", 3),
        error=Failure(message="it broke", status=500, body="null"),
        anomalies={"event_after_error": 2},
    )


def test_steps_without_a_node_are_those_of_the_empty_node() -> None:
    assert folded(OPENED, submit(None), completion(None), output(), EOF) == run(
        5, step("", 1, 2), anomalies={"no_node_id": 2}
    )


def test_a_bad_inference_leaves_the_step_completed() -> None:
    assert folded(OPENED, submit("a"), completion("a", inference_s=-1), output(), EOF) == run(
        5, step("a", 1, 2), anomalies={"bad_inference": 1}
    )


def test_an_untimed_run_has_no_durations() -> None:
    document = opened("run-1", source="transcript", timed=False, status=None)
    untimed = step("a", 1, submitted_us=None, status="completed", inference_us=1_000_000)
    assert folded(document, submit("a"), completion("a", inference_s=1), output(), EOF) == run(
        5, untimed, source="transcript", timed=False, duration_us=None, first_event_us=None
    )


def test_a_reused_request_id_is_counted() -> None:
    assert folded(opened("another run's"), output(), EOF) == run(
        3, anomalies={"reused_request_id": 1}
    )


@pytest.mark.parametrize("given", [None, ""])
def test_an_answer_without_a_request_id_is_counted(given: str | None) -> None:
    assert folded(opened("run-1", upstream_request_id=given), output(), EOF) == run(
        3, anomalies={"no_request_id": 1}
    )


def test_a_run_that_had_no_answer_misses_none_of_its_headers() -> None:
    document = opened(
        "run-1", source="iterator", upstream_request_id=None, status=None, response_headers={}
    )
    assert folded(document, output(), EOF) == run(3, source="iterator")


@pytest.mark.parametrize(
    ("content_type", "anomalies"),
    [
        ("text/event-stream", {}),
        ("Text/Event-Stream ; charset=utf-8", {}),
        ("text/html", {"not_an_event_stream": 1}),
        ("text/event-streams", {"not_an_event_stream": 1}),
        ("", {"not_an_event_stream": 1}),
        (None, {"not_an_event_stream": 1}),
    ],
)
def test_another_content_type_is_counted(
    content_type: str | None, anomalies: dict[str, int]
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert folded(opened("run-1", response_headers=headers), output(), EOF) == run(
        3, anomalies=anomalies
    )


def test_events_without_an_opened_event_are_folded() -> None:
    assert folded(submit("a"), completion("a"), output(), EOF) == run(
        4, step("a", 0, 1), workflow="", source="", opened_at=None, first_event_us=0
    )


def test_an_over_long_endpoint_id_is_lifted_like_any_other() -> None:
    long = folded(opened("run-1", workflow="w" * 600))
    assert re.fullmatch("sha256:[0-9a-f]{64}", long.workflow)


def test_an_erased_run_keeps_its_steps_and_their_times() -> None:
    events = history(OPENED, submit("a"), completion("a", inference_s=1), output(), EOF)
    erased = [msgspec.structs.replace(each, frame=None, salt=None) for each in events]
    assert fold(new_run("run-1"), erased) == run(5, step("a", 1, 2), workflow="", source="iterator")


def test_a_run_of_ten_thousand_nodes_is_folded_in_batches_of_a_thousand() -> None:
    names = [f"node-{number}" for number in range(10_000)]
    events = history(
        OPENED, *(submit(name) for name in names), *(completion(name) for name in names), EOF
    )
    state = new_run("run-1")
    for start in range(0, len(events), 1_000):
        state = fold(state, events[start : start + 1_000])
    assert (state.events, state.status, len(state.steps)) == (20_002, "interrupted", 10_000)
    assert {each.duration_us for each in state.steps.values()} == {10_000 * STEP_US}
    assert [each.node_id for each in state.ordered_steps()] == names
