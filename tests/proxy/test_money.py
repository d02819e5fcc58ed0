"""Nobody pays twice: one request in, one request out, and an answer no client of fal's tries again on.

fal's Python client sends a request again after a lost connection and on 408, 409 and 429, its JavaScript
client after a lost connection and on 429, 502, 503 and 504. That they do not is in tests/clients.
"""

from __future__ import annotations

import json
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import server
from recorder.events import Closed
from tests.proxy.asking import Reply, ask, asking
from tests.proxy.silences import SILENCES
from tests.proxy.stage import SERVER_PROXY, Stage, staged
from tests.proxy.upstream import (
    Do,
    Upstream,
    chunk,
    chunked_head,
    fresh_id,
    kept,
    sized,
)


def new_workflow() -> str:
    return f"workflows/tests/{fresh_id()}"


def problem_of(reply: Reply) -> tuple[int, str | None, bool]:
    """Status and type of a problem, and whether all of it came."""
    kind = json.loads(reply.body)["type"] if reply.body else None
    return reply.status, kind, reply.whole


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def ask_server_proxy(stage: Stage, target: str) -> Reply:
    return ask(stage.server.url, SERVER_PROXY, fields=[("x-fal-target-url", target)])


SILENT = (500, "/problems/upstream-silent", True)


@pytest.mark.parametrize("name", SILENCES)
@pytest.mark.parametrize("suffix", ["/stream", ""], ids=["stream", "call"])
def test_a_request_that_gets_no_answer_is_sent_once_and_answered(
    stage: Stage, suffix: str, name: str
) -> None:
    workflow = new_workflow()
    stage.upstream.answer(*SILENCES[name])
    reply = stage.through(f"/{workflow}{suffix}", body=b'{"seed": 1}')
    assert problem_of(reply) == SILENT
    assert (len(stage.upstream.requests), stage.upstream.connections) == (1, 1)
    run = stage.run_of(workflow)
    assert (run.status, run.close_reason) == ("interrupted", "cut")
    assert [event.type for event in stage.events(run.request_id)] == ["opened", "closed"]


@pytest.mark.parametrize("name", SILENCES)
def test_a_submit_that_gets_no_answer_is_sent_once_and_answered(stage: Stage, name: str) -> None:
    workflow = new_workflow()
    stage.upstream.answer(*SILENCES[name])
    assert problem_of(stage.through(f"/queue/{workflow}")) == SILENT
    assert (len(stage.upstream.requests), stage.upstream.connections) == (1, 1)
    run = stage.run_of(workflow)
    assert (run.mode, run.status, run.close_reason) == ("queue", "interrupted", "cut")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_no_method_is_sent_twice(stage: Stage, method: str) -> None:
    """A GET runs an app as well."""
    stage.upstream.answer()
    assert stage.through("/fal-ai/some-app", method=method).status == 500
    assert (len(stage.upstream.requests), stage.upstream.connections) == (1, 1)


def test_the_server_proxy_answers_likewise(stage: Stage) -> None:
    workflow = new_workflow()
    stage.upstream.answer()
    assert problem_of(ask_server_proxy(stage, f"https://fal.run/{workflow}")) == SILENT
    assert len(stage.upstream.requests) == 1
    assert stage.run_of(workflow).status == "interrupted"


@pytest.mark.parametrize("ending", [(), (Do.RESET,)], ids=["closed", "reset"])
@pytest.mark.parametrize("way_in", ["host-style", "server proxy"])
def test_a_torn_reply_to_a_submit_is_answered_with_a_status(
    stage: Stage, way_in: str, ending: tuple[Do, ...]
) -> None:
    workflow = new_workflow()
    torn = chunk(b'{"status": "IN_QUEUE", "request_id": "torn')
    stage.upstream.answer(chunked_head(None), torn, *ending)
    if way_in == "host-style":
        reply = stage.through(f"/queue/{workflow}")
    else:
        reply = ask_server_proxy(stage, f"https://queue.fal.run/{workflow}")
    assert problem_of(reply) == SILENT
    assert len(stage.upstream.requests) == 1
    assert stage.run_of(workflow).close_reason == "cut"


QUESTIONS = [("GET", ""), ("GET", "/status"), ("GET", "/status/stream"), ("PUT", "/cancel")]


@pytest.mark.parametrize("name", ["closes", "resets", "half a head", "status 999"])
@pytest.mark.parametrize(("method", "what"), QUESTIONS)
def test_a_question_that_gets_no_answer_ends_as_it_would_without_the_proxy(
    stage: Stage, method: str, what: str, name: str
) -> None:
    """fal's clients ask again on a lost connection, and on hardly anything else."""
    path = f"/queue/{new_workflow()}/requests/{fresh_id()}{what}"
    stage.upstream.answer(*SILENCES[name])
    with asking(stage.url, path, method=method, body=b"") as client:
        assert client.receive() == b""
    assert len(stage.upstream.requests) == 1


def test_a_torn_status_ends_as_it_would_without_the_proxy(stage: Stage) -> None:
    path = f"/queue/{new_workflow()}/requests/{fresh_id()}/status"
    stage.upstream.answer(chunked_head(None), chunk(b'{"status": "IN_'))
    with asking(stage.url, path, method="GET", body=b"") as client:
        assert client.receive() == b""


def test_a_question_that_cannot_be_asked_ends_likewise(upstream: Upstream, sqlite_url: str) -> None:
    path = f"/queue/{new_workflow()}/requests/{fresh_id()}/status"
    with (
        staged(sqlite_url, upstream, fal_url=nobody()) as stage,
        asking(stage.url, path, method="GET", body=b"") as client,
    ):
        assert client.receive() == b""


def test_an_upstream_that_does_not_even_read_is_asked_once(stage: Stage) -> None:
    workflow = new_workflow()
    stage.upstream.play()
    assert problem_of(stage.through(f"/{workflow}/stream", body=bytes(5_000_000))) == SILENT
    assert stage.upstream.connections == 1
    assert stage.run_of(workflow).close_reason == "cut"


@pytest.mark.parametrize("path", ["/stream", ""], ids=["stream", "call"])
def test_an_upstream_that_stalls_is_waited_for_as_long_as_set(
    upstream: Upstream, sqlite_url: str, path: str
) -> None:
    workflow = new_workflow()
    upstream.answer(Do.WAIT)
    with staged(sqlite_url, upstream, idle_timeout_s=0.05) as stage:
        assert problem_of(stage.through(f"/{workflow}{path}")) == SILENT
        upstream.wait_until_left()
        assert (len(upstream.requests), upstream.connections) == (1, 1)
        run = stage.run_of(workflow)
        assert (run.status, run.close_reason) == ("interrupted", "timeout")


def test_a_stream_that_stalls_is_cut(upstream: Upstream, sqlite_url: str) -> None:
    request_id = fresh_id()
    upstream.answer(chunked_head(request_id), chunk(b"data: 1\n\n"), Do.WAIT)
    with staged(sqlite_url, upstream, idle_timeout_s=0.05) as stage:
        reply = stage.through()
        assert (reply.status, reply.body, reply.whole) == (200, b"data: 1\n\n", False)
        run = stage.run(request_id)
        assert (run.status, run.close_reason) == ("interrupted", "timeout")


def test_a_connection_that_does_not_come_about_is_told_and_not_recorded(
    upstream: Upstream, sqlite_url: str
) -> None:
    with staged(sqlite_url, upstream, fal_url=nobody()) as stage:
        reply = stage.through()
        assert problem_of(reply) == (502, "/problems/upstream-unreachable", True)
        assert stage.rec.log.head().position == 0


def test_a_connection_kept_and_closed_at_the_wrong_moment_is_not_tried_again(stage: Stage) -> None:
    stage.upstream.answer(kept(sized(None, b"{}")), Do.READ)
    assert stage.through(f"/{new_workflow()}").status == 200
    workflow = new_workflow()
    assert problem_of(stage.through(f"/{workflow}")) == SILENT
    assert (len(stage.upstream.requests), stage.upstream.connections) == (2, 1)
    assert stage.run_of(workflow).status == "interrupted"


def test_a_header_no_answer_may_hold_costs_nobody_the_answer(stage: Stage) -> None:
    request_id = fresh_id()
    stage.upstream.answer(sized(request_id, b"{}", "x-fal-odd: a\x01b", "x-fal-good: c"))
    reply = stage.through(f"/{new_workflow()}")
    assert (reply.status, reply.body, reply.values("x-fal-odd"), reply.values("x-fal-good")) == (
        200,
        b"{}",
        [],
        ["c"],
    )
    assert len(stage.upstream.requests) == 1


ANSWERS = [
    sized("odd", b'{"images": []}', "x-fal-billable-units: 1"),
    chunked_head("odd") + chunk(b"data: 1\n\n") + b"0\r\n\r\n",
    kept(sized("odd", b"{}", status="422 Unprocessable Entity")),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{}",
]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """An answer of which some bytes have been replaced, left out or put in."""
    answer = draw(st.sampled_from(ANSWERS))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(answer)))
        width = draw(st.integers(0, 3))
        answer = answer[:place] + draw(st.binary(max_size=3)) + answer[place + width :]
    return answer


@settings(max_examples=150, deadline=None)
@given(answer=spoilt() | st.binary(max_size=60))
def test_whatever_upstream_says_its_client_gets_a_status(stage: Stage, answer: bytes) -> None:
    stage.upstream.answer(answer)
    with asking(stage.url, f"/{new_workflow()}") as client:
        client.read_head()
        assert 200 <= client.status < 600
    # The answer before may have kept its connection, which upstream has closed since: none arrives then.
    assert (len(stage.upstream.requests), stage.upstream.connections) in ((1, 1), (0, 0))


class TestARecorderThatIsStopped:
    def test_answers_who_still_waits_for_upstream(
        self, upstream: Upstream, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_BEYOND_GRACE_S", 0)
        workflow = new_workflow()
        upstream.answer(Do.WAIT)
        with staged(sqlite_url, upstream) as stage:
            with asking(stage.url, f"/{workflow}") as client:
                upstream.wait_until_asked()
                stage.server.__exit__(None, None, None)
                assert client.read().status == 500
            run = stage.run_of(workflow)
        assert (run.status, run.close_reason) == ("interrupted", "error")
        assert len(upstream.requests) == 1

    def test_cuts_streams_and_says_so_in_the_log(
        self, upstream: Upstream, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_BEYOND_GRACE_S", 0)
        request_id = fresh_id()
        upstream.answer(chunked_head(request_id), chunk(b"data: 1\n\n"), Do.WAIT)
        with staged(sqlite_url, upstream) as stage:
            with asking(stage.url, f"/{new_workflow()}/stream") as client:
                client.read_head()
                assert client.read_chunk() == b"data: 1\n\n"
                stage.server.__exit__(None, None, None)
                assert not client.read_rest().whole
            run = stage.run(request_id)
            assert stage.body(request_id) == b"data: 1\n\n"
        assert (run.status, run.close_reason) == ("interrupted", "error")

    def test_says_so_of_a_run_whose_client_had_left(
        self, upstream: Upstream, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_BEYOND_GRACE_S", 0)
        request_id = fresh_id()
        upstream.answer(chunked_head(request_id), chunk(b"data: 1\n\n"), Do.WAIT)
        with staged(sqlite_url, upstream) as stage:
            with asking(stage.url, f"/{new_workflow()}/stream") as client:
                client.read_head()
            stage.let_it_notice()
            stage.server.__exit__(None, None, None)
            closed = stage.events(request_id)[-1].event
        assert isinstance(closed, Closed)
        assert (closed.reason, closed.detail) == ("client_gone", "the recorder was stopped")


def test_many_requests_at_once_are_each_sent_once(stage: Stage) -> None:
    stage.upstream.answer()
    workflow = new_workflow()
    replies: list[Reply] = []
    asked = [
        threading.Thread(target=lambda: replies.append(stage.through(f"/{workflow}/stream")))
        for _ in range(20)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert [problem_of(reply) for reply in replies] == [SILENT] * 20
    assert len(stage.upstream.requests) == 20
