"""The fold of runs that are no stream of events: plain calls, single apps, queued runs."""

from __future__ import annotations

from typing import Any

import pytest

from recorder.events import Closed
from recorder.projections.outputs import Facts
from recorder.projections.queue import Queue
from recorder.projections.runs import Run
from recorder.projections.steps import Failure
from tests.builders import STEP_US, answer, exchange, opened, output, submit
from tests.core.runs import EOF, folded, run, step

APP = "fal-ai/fast-sdxl"
CALL = opened("run-1", mode="call", response_headers={"content-type": "application/json"})
APP_CALL = opened("run-1", mode="call", workflow=APP)
QUEUED = opened("run-1", mode="queue")

IN_QUEUE = exchange("status", 202, {"status": "IN_QUEUE", "queue_position": 2})
AT_WORK = exchange("status", 202, {"status": "IN_PROGRESS"})
DONE = exchange("status", 200, {"status": "COMPLETED", "metrics": {"inference_time": 1.5}})
RESULT = exchange("result", 200, {"images": []})


def called(events: int, *steps: Any, **fields: Any) -> Run:
    return run(events, *steps, mode="call", **fields)


def queued(events: int, queue: Queue, **fields: Any) -> Run:
    return run(events, mode="queue", queue=queue, first_event_us=None, **fields)


def test_a_plain_call_is_completed_by_its_whole_answer() -> None:
    assert folded(CALL, answer(), EOF) == called(3)


def test_a_plain_call_that_is_cut_is_interrupted() -> None:
    cut = Closed(reason="cut", detail="ClientPayloadError", trailing='{"ima')
    assert folded(CALL, cut) == called(
        2,
        status="interrupted",
        close_reason="cut",
        first_event_us=None,
        error=Failure(message="ClientPayloadError"),
        anomalies={"trailing_bytes": 1},
    )


def test_a_plain_call_that_is_refused_tells_status_and_body() -> None:
    refused = Closed(reason="refused", detail="upstream answered 422", trailing='{"detail": []}')
    assert folded(opened("run-1", mode="call", status=422), refused) == called(
        2,
        status="failed",
        close_reason="refused",
        first_event_us=None,
        error=Failure(message="upstream answered 422", status=422, body='{"detail": []}'),
    )


def test_a_call_of_a_single_app_is_a_run_of_one_step() -> None:
    assert folded(APP_CALL, answer({"timings": {"inference": 0.05}}), EOF) == called(
        3,
        step(
            APP,
            0,
            2,
            app_id=APP,
            step_request_id="run-1",
            submitted_us=0,
            inference_us=50_000,
        ),
        workflow=APP,
    )


def test_a_client_that_left_before_the_output_has_cancelled_the_run() -> None:
    left = Closed(reason="client_gone", left_us=50_000)
    told = folded(opened("run-1"), submit("a"), output(), left)
    assert (told.status, told.close_reason) == ("cancelled", "client_gone")


def test_a_queued_run_tells_how_long_it_waited_and_ran() -> None:
    accepted = exchange("submit", 200, {"request_id": "run-1", "queue_position": 3})
    assert folded(QUEUED, accepted, IN_QUEUE, AT_WORK, DONE, RESULT, EOF) == queued(
        7,
        Queue(position=2, started_us=300_000, completed_us=400_000, inference_us=1_500_000),
        duration_us=400_000,
        facts=Facts(images=0),
    )


def test_a_queued_run_fails_where_its_result_says_so() -> None:
    body = {"detail": [{"loc": ["body", "num_images"], "msg": "too many"}]}
    told = folded(QUEUED, DONE, exchange("result", 422, body), EOF)
    assert told == queued(
        4,
        Queue(started_us=100_000, completed_us=100_000, inference_us=1_500_000),
        status="failed",
        duration_us=100_000,
        error=Failure(
            message="the result is a 422",
            status=422,
            body='{"detail": [{"loc": ["body", "num_images"], "msg": "too many"}]}',
        ),
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500])
def test_a_result_asked_for_too_early_says_nothing_about_the_run(status: int) -> None:
    told = folded(QUEUED, exchange("result", status, "no"))
    assert (told.status, told.queue) == ("running", Queue())


def test_a_run_somebody_cancelled_is_cancelled_unless_it_was_done_already() -> None:
    cancel = exchange("cancel", 202, {"status": "CANCELLATION_REQUESTED"})
    timeout = Closed(reason="timeout")
    assert folded(QUEUED, cancel, timeout).status == "cancelled"
    assert folded(QUEUED, cancel, RESULT, EOF).status == "completed"
    gone = exchange("result", 499, {"detail": "cancelled"})
    assert folded(QUEUED, cancel, DONE, gone, EOF).status == "cancelled"
    too_late = exchange("cancel", 400, {"status": "ALREADY_COMPLETED"})
    assert folded(QUEUED, too_late, timeout).status == "interrupted"


def test_a_status_stream_tells_the_same_as_its_statuses() -> None:
    frame = 'data: {"status": "COMPLETED", "metrics": {"inference_time": 1.5}}\r\n\r\n'
    told = folded(QUEUED, exchange("status_stream", 200, frame))
    assert told.queue == folded(QUEUED, DONE).queue


def test_a_webhook_ends_a_run_well_or_badly() -> None:
    good = exchange("webhook", None, {"status": "OK", "payload": {"images": []}})
    bad = exchange("webhook", None, {"status": "ERROR", "error": "it broke"})
    assert folded(QUEUED, good, EOF).status == "completed"
    told = folded(QUEUED, bad, EOF)
    assert (told.status, told.error and told.error.message) == ("failed", "it broke")


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "\ud800"])
def test_what_the_queue_says_is_read_as_python_writes_it(odd: Any) -> None:
    done = {"status": "COMPLETED", "metrics": {"inference_time": 1}, "logs": [{"message": odd}]}
    assert folded(QUEUED, exchange("status", body=done)).queue == Queue(
        started_us=STEP_US, completed_us=STEP_US, inference_us=1_000_000
    )
    good = {"status": "OK", "payload": {"images": [{"width": 1}], "score": odd}}
    told = folded(QUEUED, exchange("webhook", None, good), EOF)
    assert (told.status, told.facts) == ("completed", Facts(1, 1))
    assert folded(QUEUED, exchange("webhook", None, [odd])).status == "running"


def test_the_second_part_of_a_long_body_is_not_read_as_an_answer() -> None:
    assert folded(QUEUED, exchange("result", 422, "rest", part=1)).status == "running"
