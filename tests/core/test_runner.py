"""Running workflows over HTTP, against a server that writes what it is told to."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

import recorder
from recorder.bootstrap import Recorder
from recorder.errors import UpstreamUnreachable
from recorder.events import Opened, Submit, Unrecognised, WireEvent
from recorder.projections.steps import Failure
from recorder.runner import WorkflowRun
from recorder.settings import Settings
from recorder.sources.http import resolve
from tests.builders import completion, output, submit
from tests.clocks import ManualClock
from tests.core.raw_server import RawServer, chunked, head, serving
from tests.core.test_recording import recorded_body

CANARY = "c4n4ry-9d1b"
REQUEST_ID = "X-Fal-Request-Id: run-1"
BODY = submit("a") + b": ping\r\n\r\n" + completion("a") + output("é")
CHUNKED = head("200 OK", REQUEST_ID, "Transfer-Encoding: chunked")
TO_THE_END = head("200 OK", REQUEST_ID)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as opened:
        yield opened


def workflow_run(
    rec: Recorder, server: RawServer, client: httpx.Client, *, key: str | None = None
) -> WorkflowRun:
    """A run of `workflows/o/n` on the server, not yet started."""
    target = resolve("workflows/o/n", fal_url=server.url, key=key)
    return WorkflowRun(rec.writer, target, b'{"a": 1}', client, clock=ManualClock())


def sized(body: bytes, *headers: str) -> bytes:
    """An answer with its length in the head."""
    return head("200 OK", REQUEST_ID, f"Content-Length: {len(body)}", *headers) + body


@pytest.mark.parametrize(
    "answer",
    [
        sized(BODY),
        TO_THE_END + BODY,
        CHUNKED + chunked(BODY),
        CHUNKED + chunked(*(BODY[i : i + 1] for i in range(len(BODY)))),
        CHUNKED + chunked(BODY[:-10], BODY[-10:]),
    ],
    ids=["content-length", "to the end", "one chunk", "a chunk a byte", "within a character"],
)
def test_the_exact_body_is_recorded(
    sqlite_rec: Recorder, client: httpx.Client, answer: bytes
) -> None:
    with serving([answer]) as server:
        running = workflow_run(sqlite_rec, server, client)
        events = list(running)
    run = sqlite_rec.run("run-1")
    assert recorded_body(sqlite_rec, "run-1") == BODY
    assert (running.status, running.end, len(events)) == (200, None, 3)
    assert (run.status, run.close_reason, run.workflow, run.anomalies) == (
        "completed",
        "eof",
        "workflows/o/n",
        {},
    )


def test_one_post_goes_out_with_the_input_as_it_is(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    with serving([sized(BODY)]) as server:
        list(workflow_run(sqlite_rec, server, client, key="k:s"))
    (request,) = server.requests
    assert request.startswith(b"POST /workflows/o/n/stream HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"a": 1}')
    lines = request.lower().split(b"\r\n")
    assert {b"accept-encoding: identity", b"authorization: key k:s"} <= set(lines)


def test_a_plain_call_is_recorded_as_one_with_the_run_it_repeats(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    body = b'{"images": []}'
    length = f"Content-Length: {len(body)}"
    with serving(
        [head("200 OK", REQUEST_ID, length, media_type="application/json") + body]
    ) as server:
        target = resolve("workflows/o/n", fal_url=server.url, mode="call")
        list(WorkflowRun(sqlite_rec.writer, target, b"{}", client, parent="first"))
    run = sqlite_rec.run("run-1")
    assert (run.status, run.mode, run.parent) == ("completed", "call", "first")
    assert recorded_body(sqlite_rec, "run-1") == body
    assert server.requests[0].startswith(b"POST /workflows/o/n HTTP/1.1\r\n")


def test_an_event_is_told_before_the_next_one_comes(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    go_on = threading.Event()
    with serving([TO_THE_END + submit("a", app_id=None), go_on, output()]) as server:
        events = iter(workflow_run(sqlite_rec, server, client))
        assert next(events) == Submit("a")
        go_on.set()
        assert len(list(events)) == 1
    assert sqlite_rec.run("run-1").status == "completed"


def test_a_run_cannot_be_started_twice(sqlite_rec: Recorder, client: httpx.Client) -> None:
    with serving([sized(BODY)]) as server:
        running = workflow_run(sqlite_rec, server, client)
        list(running)
        with pytest.raises(RuntimeError, match="this run has been started"):
            list(running)
    assert len(server.requests) == 1


def test_a_refusal_is_recorded_with_its_status_and_body(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    body = b'{"detail": [{"msg": "too many"}]}'
    answer = head(
        "422 Unprocessable Entity",
        REQUEST_ID,
        f"Content-Length: {len(body)}",
        media_type="application/json",
    )
    with serving([answer + body]) as server:
        running = workflow_run(sqlite_rec, server, client)
        assert list(running) == []
    run = sqlite_rec.run("run-1")
    assert (running.status, run.status, run.close_reason, run.anomalies) == (
        422,
        "failed",
        "refused",
        {},
    )
    assert run.error == Failure(message="upstream answered 422", status=422, body=body.decode())
    assert recorded_body(sqlite_rec, "run-1") == body


def test_a_refusal_that_is_cut_says_so(sqlite_rec: Recorder, client: httpx.Client) -> None:
    answer = head("500 Internal Server Error", REQUEST_ID, "Content-Length: 99")
    with serving([answer + b"oh n"]) as server:
        assert list(workflow_run(sqlite_rec, server, client)) == []
    run = sqlite_rec.run("run-1")
    assert (run.status, run.error) == (
        "failed",
        Failure(message="upstream answered 500, then RemoteProtocolError", status=500, body="oh n"),
    )


def test_a_redirect_is_a_refusal_and_is_not_followed(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    location = f"Location: http://127.0.0.1:1/?fal_jwt_token={CANARY}"
    with serving([head("307 Temporary Redirect", REQUEST_ID, location, "Content-Length: 0")]) as (
        server
    ):
        assert list(workflow_run(sqlite_rec, server, client)) == []
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.error) == (
        "failed",
        "refused",
        Failure(message="upstream answered 307", status=307),
    )
    assert len(server.requests) == 1


def test_a_page_instead_of_a_stream_is_kept_and_counted(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    page = b"<!doctype html>\n\n<title>Please log in</title>\n"
    with serving([head(media_type="text/html; charset=utf-8") + page]) as server:
        running = workflow_run(sqlite_rec, server, client)
        assert list(running) == []
    assert running.recording.request_id is not None
    run = sqlite_rec.run(running.recording.request_id)
    assert (run.status, run.anomalies) == (
        "interrupted",
        {"no_request_id": 1, "not_an_event_stream": 1, "trailing_bytes": 1},
    )
    assert recorded_body(sqlite_rec, running.recording.request_id) == page


@pytest.mark.parametrize(
    ("answer", "ending", "end"),
    [
        (CHUNKED + chunked(submit("a") + b'data: {"type', complete=False), "close", "RemoteProtocolError"),
        (CHUNKED + chunked(submit("a") + b'data: {"type', complete=False), "reset", "ReadError"),
        (TO_THE_END + submit("a") + b'data: {"type', "reset", "ReadError"),
        (
            head("200 OK", REQUEST_ID, "Content-Length: 9999") + submit("a") + b'data: {"type',
            "close",
            "RemoteProtocolError",
        ),
    ],
    ids=["no last chunk", "reset in chunks", "reset", "short of its length"],
)  # fmt: skip
def test_a_cut_stream_is_interrupted_and_what_came_is_kept(
    sqlite_rec: Recorder, client: httpx.Client, answer: bytes, ending: str, end: str
) -> None:
    go_on = threading.Event()
    with serving([answer, go_on], "reset" if ending == "reset" else "close") as server:
        running = workflow_run(sqlite_rec, server, client)
        events = iter(running)
        assert next(events) == Submit("a", "fal-ai/app")
        go_on.set()
        assert list(events) == []
    run = sqlite_rec.run("run-1")
    assert (running.end, run.status, run.close_reason, run.error) == (
        end,
        "interrupted",
        "cut",
        Failure(message=end),
    )
    assert run.anomalies == {"trailing_bytes": 1}
    assert recorded_body(sqlite_rec, "run-1") == submit("a") + b'data: {"type'


def test_leaving_the_stream_makes_a_cancelled_run(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    left = threading.Event()
    with serving([TO_THE_END + submit("a"), left, output()]) as server:
        events = iter(workflow_run(sqlite_rec, server, client))
        next(events)
        events.close()  # type: ignore[attr-defined]
        left.set()
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason) == ("cancelled", "client_gone")


def test_a_compressed_body_is_kept_as_it_came(sqlite_rec: Recorder, client: httpx.Client) -> None:
    packed = gzip.compress(BODY, mtime=0)
    with serving([sized(packed, "Content-Encoding: gzip")]) as server:
        list(workflow_run(sqlite_rec, server, client))
    document = next(sqlite_rec.events("run-1")).event
    assert isinstance(document, Opened)
    assert document.response_headers["content-encoding"] == "gzip"
    assert recorded_body(sqlite_rec, "run-1") == packed


def test_frames_that_are_no_events_are_told_too(sqlite_rec: Recorder, client: httpx.Client) -> None:
    with serving([sized(b"data: [DONE]\n\n")]) as server:
        events: list[WireEvent] = list(workflow_run(sqlite_rec, server, client))
    assert events == [Unrecognised("done_marker")]


def test_a_reused_id_is_settled_when_the_run_is_durable(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    with serving([sized(BODY)]) as server:
        runs = [workflow_run(sqlite_rec, server, client) for _ in range(2)]
        for running in runs:
            list(running)
            running.recording.wait()
    assert [running.recording.request_id for running in runs] == ["run-1", "run-1~2"]
    assert sqlite_rec.run("run-1~2").anomalies == {"reused_request_id": 1}


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"220 smtp ready\r\n"])
def test_no_answer_with_a_status_is_an_error_and_no_run(
    sqlite_rec: Recorder, client: httpx.Client, answer: bytes
) -> None:
    with serving([answer]) as server:
        running = workflow_run(sqlite_rec, server, client)
        with pytest.raises(UpstreamUnreachable) as raised:
            list(running)
    assert str(raised.value).startswith(f"{server.url}/workflows/o/n/stream does not answer: ")
    assert len(str(raised.value).splitlines()) == 1
    assert (running.status, running.recording.request_id) == (None, None)
    assert sqlite_rec.log.head().position == 0


def test_nobody_at_the_address_is_an_error_and_no_run(
    sqlite_rec: Recorder, client: httpx.Client
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    url = f"http://127.0.0.1:{port}/w/stream?fal_jwt_token={CANARY}"
    running = WorkflowRun(sqlite_rec.writer, resolve(url), b"{}", client)
    with pytest.raises(UpstreamUnreachable) as raised:
        list(running)
    assert str(raised.value).startswith(
        f"http://127.0.0.1:{port}/w/stream?fal_jwt_token=[redacted] does not answer: "
    )
    assert raised.value.retryable
    assert sqlite_rec.log.head().position == 0


def test_credentials_reach_no_byte_of_the_database(sqlite_url: str, client: httpx.Client) -> None:
    answer = head(
        "200 OK",
        REQUEST_ID,
        f"Set-Cookie: session={CANARY}; HttpOnly",
        f"X-Fal-Token: {CANARY}",
        f"X-Unknown: {CANARY}",
        f"Content-Length: {len(BODY)}",
    )
    with (
        serving([answer + BODY]) as server,
        recorder.open(sqlite_url, settings=Settings(database_url=sqlite_url, fal_key=None)) as rec,
    ):
        url = f"{server.url}/workflows/o/n/stream?fal_jwt_token={CANARY}#{CANARY}"
        target = resolve(url, fal_url=server.url, key=f"id:{CANARY}")
        list(WorkflowRun(rec.writer, target, b"{}", client))
        document = next(rec.events("run-1")).event
        assert rec.run("run-1").status == "completed"
    assert CANARY.encode() in server.requests[0]
    assert isinstance(document, Opened)
    assert document.url == f"{server.url}/workflows/o/n/stream?fal_jwt_token=[redacted]"
    assert document.request_headers == {
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "[redacted]",
    }
    assert document.response_headers == {
        "content-type": "text/event-stream",
        "x-fal-request-id": "run-1",
        "set-cookie": "[redacted]",
        "x-fal-token": "[redacted]",
        "content-length": str(len(BODY)),
    }
    file = Path(str(make_url(sqlite_url).database))
    written = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    assert (b"[redacted]" in written, CANARY.encode() in written) == (True, False)
