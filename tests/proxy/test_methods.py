"""Workflows called by other methods than POST, as fal's JavaScript client does when it is told to."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from recorder.capture import endpoint_of, sent_with
from recorder.documents import Exchange, Opened, as_bytes
from recorder.projections.runs import Run
from tests.builders import completion, output, submit
from tests.proxy.stage import Stage
from tests.proxy.test_money import new_workflow
from tests.proxy.upstream import (
    LAST_CHUNK,
    Step,
    chunk,
    chunked_head,
    fresh_id,
    sized,
)

OUTPUT = b'{"images": []}'


def streamed(request_id: str) -> tuple[Step, ...]:
    pieces = (submit("a") + completion("a"), output())
    return (chunked_head(request_id), *map(chunk, pieces), LAST_CHUNK)


def beginning(stage: Stage, request_id: str) -> Opened:
    event = stage.events(request_id)[0].event
    assert isinstance(event, Opened)
    return event


def asked(stage: Stage, run: Run) -> tuple[str, str, str, bytes]:
    """What a run was, and what of its beginning is known."""
    began = beginning(stage, run.request_id)
    return run.mode, run.status, began.method, as_bytes(began.input, began.input_base64)


@pytest.mark.parametrize(
    ("method", "query", "body", "given"),
    [
        ("GET", "?prompt=a%20cat&n=1", b"", b'{"prompt": "a cat", "n": "1"}'),
        ("GET", "", b"", b""),
        ("GET", "?n=1", b'{"n": 2}', b'{"n": 2}'),
        ("PUT", "?n=1", b'{"n": 2}', b'{"n": 2}'),
        ("PATCH", "", b'{"n": 2}', b'{"n": 2}'),
    ],
)
def test_what_runs_is_recorded_with_its_method_and_its_input(
    stage: Stage, method: str, query: str, body: bytes, given: bytes
) -> None:
    called, streaming = fresh_id(), fresh_id()
    workflow = new_workflow()
    stage.upstream.answer(sized(called, OUTPUT))
    assert stage.through(f"/{workflow}{query}", method=method, body=body).body == OUTPUT
    stage.upstream.answer(*streamed(streaming))
    assert stage.through(f"/{workflow}/stream{query}", method=method, body=body).whole
    assert asked(stage, stage.run(called)) == ("call", "completed", method, given)
    assert asked(stage, stage.run(streaming)) == ("stream", "completed", method, given)
    assert list(stage.run(streaming).steps) == [("a", 1)]


def test_a_submit_by_get_is_followed_like_any_other(stage: Stage) -> None:
    request_id, workflow = fresh_id(), new_workflow()
    told = json.dumps({"status": "IN_QUEUE", "request_id": request_id}).encode()
    stage.upstream.answer(sized(request_id, told))
    path = f"/queue/{workflow}?prompt=a&fal_webhook=https%3A%2F%2Frecorder.example"
    stage.through(path, method="GET", body=b"")
    stage.upstream.answer(sized(request_id, OUTPUT))
    stage.through(f"/queue/{workflow}/requests/{request_id}", method="GET", body=b"")
    assert asked(stage, stage.run(request_id)) == ("queue", "completed", "GET", b'{"prompt": "a"}')
    events = [logged.event for logged in stage.events(request_id)]
    exchanges = [event for event in events if isinstance(event, Exchange)]
    assert [(each.what, each.method) for each in exchanges] == [
        ("submit", "GET"),
        ("result", "GET"),
    ]


@pytest.mark.parametrize("path", ["", "/stream"])
def test_a_method_that_upstream_does_not_know_runs_nothing(stage: Stage, path: str) -> None:
    before = stage.head()
    refusal = sized(fresh_id(), b'{"detail": "no"}', status="405 Method Not Allowed")
    for where in (f"/{new_workflow()}{path}", f"/queue/{new_workflow()}"):
        stage.upstream.answer(refusal)
        reply = stage.through(where, method="GET", body=b"")
        assert (reply.status, reply.body) == (405, b'{"detail": "no"}')
    stage.let_it_notice()
    assert stage.head() == before
    posted = new_workflow()
    stage.upstream.answer(refusal)
    stage.through(f"/{posted}{path}")
    assert stage.run_of(posted).status == "failed"


def test_a_get_that_gets_no_answer_may_have_been_paid_for(stage: Stage) -> None:
    workflow = new_workflow()
    stage.upstream.answer()
    assert stage.through(f"/{workflow}", method="GET", body=b"").status == 500
    assert len(stage.upstream.requests) == 1
    run = stage.run_of(workflow)
    assert (run.status, beginning(stage, run.request_id).method) == ("interrupted", "GET")


def test_a_get_is_answered_from_the_log_by_its_query(stage: Stage) -> None:
    workflow = new_workflow()
    for word in ("one", "other"):
        stage.upstream.answer(sized(fresh_id(), json.dumps({"text": word}).encode()))
        stage.through(f"/{workflow}?word={word}", method="GET", body=b"")
    replaying = [("x-recorder-mode", "replay"), ("x-recorder-speed", "max")]
    answers = [
        stage.through(f"/{workflow}?word={word}", method="GET", body=b"", fields=replaying)
        for word in ("one", "other", "none")
    ]
    assert [answer.status for answer in answers] == [200, 200, 404]
    assert [json.loads(answer.body)["text"] for answer in answers[:2]] == ["one", "other"]


def test_what_is_secret_or_meant_for_fal_is_no_input() -> None:
    hidden = quote("https://user:secret@recorder.example/?token=secret", safe="")
    url = f"https://fal.run/workflows/o/n?a=1&api_key=secret&fal_jwt_token=secret&fal_webhook={hidden}"
    assert json.loads(sent_with("GET", url, b"")) == {"a": "1", "api_key": "[redacted]"}


def test_what_is_no_method_to_run_anything_by_is_something_else() -> None:
    kinds = {
        (method, path): endpoint_of(method, f"/workflows/o/n{path}", "run").kind
        for method in ("HEAD", "OPTIONS", "DELETE", "TRACE")
        for path in ("", "/stream")
    }
    assert set(kinds.values()) == {"other"}
