"""Plain calls and single apps: what of them is recorded, and as what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recorder.documents import as_bytes
from recorder.events import Opened
from recorder.projections.runs import Run
from recorder.projections.steps import Failure
from tests.builders import completion, output, submit
from tests.proxy.stage import STREAM, Stage, staged
from tests.proxy.test_money import new_workflow
from tests.proxy.upstream import (
    LAST_CHUNK,
    Step,
    Upstream,
    chunk,
    chunked_head,
    fresh_id,
    head,
    kept,
    sized,
)

INPUT = b'{"prompt": "a cute puppy", "seed": 6252023}'
OUTPUT = b'{"images": [{"url": "https://x.test/1"}], "timings": {"inference": 0.25}}'
DETAIL = b'{"detail": [{"loc": ["body"], "msg": "no"}]}'
PIECES = [submit("a") + completion("a"), output()]


@pytest.fixture(scope="module")
def recording_all(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    with staged(new_database(), upstream, record="all") as stage:
        yield stage


@pytest.fixture(scope="module")
def recording_nothing(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    with staged(new_database(), upstream, record="none") as stage:
        yield stage


def torn(request_id: str) -> tuple[Step, ...]:
    return (kept(head(request_id, "content-length: 999", media_type="application/json")), OUTPUT)


def streamed(request_id: str) -> tuple[Step, ...]:
    return (chunked_head(request_id), *map(chunk, PIECES), LAST_CHUNK)


ENDINGS: dict[str, tuple[Callable[[str], tuple[Step, ...]], dict[str, Any]]] = {
    "answered": (
        lambda request_id: (sized(request_id, OUTPUT),),
        {"status": "completed", "close_reason": "eof", "error": None},
    ),
    "answered with nothing": (
        lambda request_id: (sized(request_id, b""),),
        {"status": "completed", "close_reason": "eof", "error": None},
    ),
    "refused": (
        lambda request_id: (sized(request_id, DETAIL, status="422 Unprocessable Entity"),),
        {
            "status": "failed",
            "close_reason": "refused",
            "error": Failure(message="upstream answered 422", status=422, body=DETAIL.decode()),
        },
    ),
    "torn": (
        torn,
        {
            "status": "interrupted",
            "close_reason": "cut",
            "error": Failure(message="ClientPayloadError"),
        },
    ),
}


def told(run: Run) -> dict[str, Any]:
    return {"status": run.status, "close_reason": run.close_reason, "error": run.error}


def call(stage: Stage, path: str, steps: Callable[[str], tuple[Step, ...]]) -> str:
    """Makes a call with upstream doing this; returns the request's id."""
    request_id = fresh_id()
    stage.upstream.answer(*steps(request_id))
    stage.through(path, body=INPUT, fields=[("content-type", "application/json")])
    return request_id


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plain_call_of_a_workflow_is_a_run_with_its_input_and_its_end(
    stage: Stage, ending: str
) -> None:
    workflow = new_workflow()
    steps, expected = ENDINGS[ending]
    request_id = call(stage, f"/{workflow}", steps)
    run = stage.run(request_id)
    opened = stage.events(request_id)[0].event
    assert isinstance(opened, Opened)
    assert (run.workflow, run.mode, run.source, dict(run.steps)) == (workflow, "call", "proxy", {})
    assert as_bytes(opened.input, opened.input_base64) == INPUT
    assert told(run) == expected
    assert run.opened_at is not None
    assert run.closed_at is not None
    assert run.duration_us is not None
    assert run.opened_at <= run.closed_at
    assert 0 <= run.duration_us <= run.closed_at - run.opened_at + 1_000_000


def test_its_output_is_in_the_log_as_it_came(stage: Stage) -> None:
    request_id = call(stage, f"/{new_workflow()}", lambda each: (sized(each, OUTPUT),))
    events = stage.events(request_id)
    assert [event.type for event in events] == ["opened", "answer", "closed"]
    assert events[1].frame == OUTPUT


def test_a_workflow_that_streams_when_called_plainly_is_recorded_as_a_stream(
    stage: Stage,
) -> None:
    """Some clients say in their headers what they want, and not in the address."""
    request_id = call(stage, f"/{new_workflow()}", streamed)
    run = stage.run(request_id)
    assert (run.mode, run.status, [step.node_id for step in run.ordered_steps()]) == (
        "stream",
        "completed",
        ["a"],
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fal-ai/fast-sdxl"),
        ("POST", "/fal-ai/any-llm/stream"),
        ("POST", "/queue/fal-ai/fast-sdxl"),
        ("GET", "/queue/fal-ai/fast-sdxl/requests/1"),
        ("GET", "/queue/fal-ai/fast-sdxl/requests/1/status"),
        ("OPTIONS", f"/{new_workflow()}"),
        ("DELETE", f"/{new_workflow()}"),
        ("POST", "/"),
    ],
)
def test_other_requests_pass_and_leave_no_trace(stage: Stage, method: str, path: str) -> None:
    stage.upstream.answer(sized(fresh_id(), OUTPUT))
    before = stage.head()
    assert stage.through(path, method=method, body=INPUT).body == OUTPUT
    assert stage.head() == before


@pytest.mark.parametrize("path", [STREAM, "/workflows/o/n", "/queue/workflows/o/n", "/fal-ai/app"])
def test_nothing_is_recorded_where_nothing_shall_be(recording_nothing: Stage, path: str) -> None:
    recording_nothing.upstream.answer(sized(fresh_id(), OUTPUT))
    assert recording_nothing.through(path, body=INPUT).body == OUTPUT
    assert recording_nothing.head() == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_call_of_a_single_app_can_be_recorded_as_a_run_of_one_step(
    recording_all: Stage, ending: str
) -> None:
    steps, expected = ENDINGS[ending]
    request_id = call(recording_all, "/fal-ai/fast-sdxl", steps)
    run = recording_all.run(request_id)
    [step] = run.ordered_steps()
    assert (run.workflow, run.mode, told(run)) == ("fal-ai/fast-sdxl", "call", expected)
    assert (step.node_id, step.app_id, step.step_request_id, step.submitted_us) == (
        "fal-ai/fast-sdxl",
        "fal-ai/fast-sdxl",
        request_id,
        0,
    )
    ended = run.status in ("completed", "failed")
    assert (step.status, step.finished_us, step.error) == (
        run.status if ended else "unfinished",
        run.duration_us if ended else None,
        run.error if run.status == "failed" else None,
    )
    assert step.inference_us == (250_000 if ending == "answered" else None)


def test_an_app_that_streams_is_recorded_with_each_piece_of_its_answer(
    recording_all: Stage,
) -> None:
    request_id = call(recording_all, "/fal-ai/any-llm/stream", streamed)
    events = recording_all.events(request_id)
    assert [event.type for event in events] == ["opened", "answer", "answer", "answer", "closed"]
    assert recording_all.body(request_id) == b"".join(PIECES)
    run = recording_all.run(request_id)
    assert (run.status, [step.status for step in run.ordered_steps()]) == (
        "completed",
        ["completed"],
    )


def test_a_workflow_given_with_its_call_is_recorded_by_what_was_asked(stage: Stage) -> None:
    """`workflows/execute` brings its definition along, in the body."""
    body = json.dumps({"input": {"x": 1}, "workflow": {"a": {"type": "run"}}}).encode()
    request_id = fresh_id()
    stage.upstream.answer(*streamed(request_id))
    stage.through("/workflows/execute/stream", body=body)
    run = stage.run(request_id)
    assert (run.workflow, run.mode, run.status) == ("workflows/execute", "stream", "completed")
