"""However a request of fal's client ends, its caller sees the same with and without us, and it is recorded."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fal_client
import httpx
import pytest

from recorder.bootstrap import Recorder
from recorder.events import LoggedEvent, Opened
from recorder.instrumentation import Instrumentation, instrument
from recorder.projections.runs import Run
from recorder.recording import body_part
from recorder.settings import Settings
from tests.builders import completion, output, submit
from tests.core.raw_server import RawServer, Step, chunked, head, serving
from tests.logs import WAIT_S
from tests.sdk.calls import INPUT, STREAMS, TINY, Seen, Stream, async_client, only_run, sync_client
from tests.sdk.conftest import call_fal_at

FRAMES = [submit("a"), b": ping\n\n" + completion("a"), output()]
STREAM = head(
    "200 OK", "X-Fal-Request-Id: run-1", "Transfer-Encoding: chunked", "Connection: close"
)
RUN_ID = b"X-Fal-Request-Id: run-1\r\n"
WHOLE = STREAM + chunked(*FRAMES)
CUT = STREAM + chunked(*FRAMES[:2], complete=False)
REFUSED = (
    head(
        "422 Unprocessable Entity",
        "Content-Length: 15",
        "Connection: close",
        media_type="application/json",
    )
    + b'{"detail":"no"}'
)
PAGE = head("200 OK", "Content-Length: 4", "Connection: close", media_type="text/html") + b"page"
NOT_JSON = STREAM + chunked(b"data: [DONE]\n\n")


@contextmanager
def upstream(
    monkeypatch: pytest.MonkeyPatch, *steps: Step, ending: Any = "close"
) -> Iterator[RawServer]:
    """An endpoint that stands for fal and answers as told."""
    with serving(steps, ending) as server:
        call_fal_at(server.url, monkeypatch)
        try:
            yield server
        finally:
            for step in steps:
                if isinstance(step, threading.Event):
                    step.set()


def recorded(rec: Recorder) -> tuple[Run, list[LoggedEvent]]:
    """The one run there is."""
    run = rec.run(only_run(rec))
    return run, list(rec.events(run.request_id))


def body_of(rows: list[LoggedEvent]) -> bytes:
    return b"".join(map(body_part, rows))


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (WHOLE, "completed", "eof"),
        (CUT, "interrupted", "cut"),
        (REFUSED, "failed", "refused"),
        (PAGE, "interrupted", "eof"),
        (NOT_JSON, "cancelled", "client_gone"),
    ],
    ids=["whole", "cut", "refused", "page", "not JSON"],
)
def test_a_caller_sees_what_it_would_have_seen(
    *,
    sqlite_url: str,
    settings: Settings,
    rec: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    stream: Stream,
    answer: bytes,
    status: str,
    reason: str,
) -> None:
    with upstream(monkeypatch, answer):
        expected: Seen = stream(INPUT)
        with instrument(sqlite_url, settings=settings):
            assert stream(INPUT) == expected
    run, rows = recorded(rec)
    assert (run.status, run.close_reason) == (status, reason)
    if answer is WHOLE:
        assert body_of(rows) == b"".join(FRAMES)


@pytest.mark.parametrize("stream", STREAMS)
def test_why_a_stream_was_refused_is_recorded_though_its_caller_does_not_look(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch, stream: Stream
) -> None:
    with upstream(monkeypatch, REFUSED):
        seen, end = stream(INPUT)
    assert (seen, "SSEError" in end) == ([], True)
    assert instrumented.flush(WAIT_S)
    run, _ = recorded(rec)
    assert run.error is not None
    assert (run.error.status, run.error.body) == (422, '{"detail":"no"}')


@pytest.mark.parametrize("stream", STREAMS)
def test_a_refusal_that_does_not_end_is_not_waited_for(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch, stream: Stream
) -> None:
    endless = threading.Event()
    with upstream(monkeypatch, REFUSED[:-5], endless):
        _, end = stream(INPUT)
        assert "SSEError" in end
        assert not endless.is_set()
    assert instrumented.flush(WAIT_S)
    run, _ = recorded(rec)
    assert run.error is not None
    assert (run.close_reason, run.error.message) == (
        "refused",
        "upstream answered 422, then ReadTimeout",
    )


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("until", "status"), [(1, "cancelled"), (3, "completed")])
def test_a_caller_who_reads_no_further_is_gone(
    *,
    instrumented: Instrumentation,
    rec: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    stream: Stream,
    until: int,
    status: str,
) -> None:
    with upstream(monkeypatch, STREAM + chunked(*FRAMES, complete=False), threading.Event()):
        seen, _ = stream(INPUT, until=until)
    assert len(seen) == until
    assert instrumented.flush(WAIT_S)
    run, _ = recorded(rec)
    assert (run.status, run.close_reason) == (status, "client_gone")


def test_a_task_cancelled_in_the_middle_of_a_stream_is_gone(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call() -> None:
        async with async_client() as client:
            first = asyncio.Event()

            async def read() -> None:
                async for _ in client.stream(TINY, INPUT):
                    first.set()

            task = asyncio.create_task(read())
            await first.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with upstream(monkeypatch, STREAM + chunked(FRAMES[0], complete=False), threading.Event()):
        asyncio.run(call())
    assert instrumented.flush(WAIT_S)
    run, rows = recorded(rec)
    assert (run.status, run.close_reason) == ("cancelled", "client_gone")
    assert body_of(rows) == FRAMES[0]


def test_events_are_stamped_when_they_come_however_slow_their_reader(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came is in the log while its reader still has it in hand."""
    answer = STREAM + chunked(FRAMES[0], complete=False)
    with upstream(monkeypatch, answer, threading.Event()), sync_client() as client:
        stream: Any = client.stream(TINY, INPUT)
        next(stream)
        assert instrumented.flush(WAIT_S)
        assert [row.type for row in rec.events("run-1")] == ["opened", "submit"]
        stream.close()


def test_a_request_that_never_connected_is_no_run(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"http://127.0.0.1:{gone.getsockname()[1]}"
    call_fal_at(address, monkeypatch)
    for stream in STREAMS:
        seen, end = stream(INPUT)
        assert (seen, "ConnectError" in end) == ([], True)
    with sync_client() as client, pytest.raises(httpx.ConnectError):
        client.run(TINY, INPUT)
    assert instrumented.flush(WAIT_S)
    assert rec.runs().runs == []


def test_a_request_not_answered_is_a_run_for_it_may_be_paid_for(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with upstream(monkeypatch, ending="close"):
        for stream in STREAMS:
            assert "RemoteProtocolError" in stream(INPUT)[1]
    assert instrumented.flush(WAIT_S)
    assert [(run.status, run.close_reason) for run in rec.runs().runs] == [
        ("interrupted", "cut")
    ] * len(STREAMS)


def test_a_request_that_timed_out_is_a_run_of_its_own_with_every_try(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 3)
    monkeypatch.setattr(fal_client.client, "BASE_DELAY", 0.001)
    with (
        upstream(monkeypatch, threading.Event()),
        sync_client() as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.run(TINY, INPUT, timeout=0.05)
    assert instrumented.flush(WAIT_S)
    assert [(run.mode, run.status, run.close_reason) for run in rec.runs().runs] == [
        ("call", "interrupted", "timeout")
    ] * 3


def test_every_try_of_a_refused_call_is_a_run_of_its_own(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 3)
    monkeypatch.setattr(fal_client.client, "BASE_DELAY", 0.001)
    busy = head("429 Too Many Requests", "Content-Length: 0", "Connection: close")
    with (
        upstream(monkeypatch, busy),
        sync_client() as client,
        pytest.raises(fal_client.FalClientHTTPError),
    ):
        client.run(TINY, INPUT)
    assert instrumented.flush(WAIT_S)
    assert [(run.status, run.close_reason) for run in rec.runs().runs] == [
        ("failed", "refused")
    ] * 3


@pytest.mark.parametrize("stream", STREAMS)
def test_what_the_backup_domain_answers_is_one_run(
    instrumented: Instrumentation,
    rec: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    stream: Stream,
) -> None:
    monkeypatch.setattr(fal_client.client, "_BACKUP_DOMAINS", {"127.0.0.2": "127.0.0.1"})
    with upstream(monkeypatch, WHOLE) as server:
        call_fal_at(server.url.replace("127.0.0.1", "127.0.0.2"), monkeypatch)
        seen, end = stream(INPUT)
        assert (len(seen), end, len(server.requests)) == (3, "end", 1)
    assert instrumented.flush(WAIT_S)
    run, rows = recorded(rec)
    assert (run.status, body_of(rows)) == ("completed", b"".join(FRAMES))


def test_addresses_that_a_reply_names_itself_are_recognised(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply to a submit names the addresses to ask at, at a backup domain perhaps."""
    answer = head("200 OK", "Content-Length: 2", "Connection: close", media_type="application/json")
    with serving([answer + b"{}"]) as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setattr(fal_client.client, "_BACKUP_DOMAINS", {"queue.test": "127.0.0.1"})
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"http://queue.test:{port}/")
        with sync_client() as client:
            handle = fal_client.SyncRequestHandle(
                request_id="run-1",
                response_url=f"{server.url}/{TINY}/requests/run-1",
                status_url="",
                cancel_url=f"{server.url}/{TINY}/requests/run-1/cancel",
                client=client._client,
            )
            handle.cancel()
    instrumented.uninstrument()
    run, rows = recorded(rec)
    assert (run.request_id, run.mode, run.workflow) == ("run-1", "queue", TINY)
    assert [row.type for row in rows] == ["opened", "exchange", "closed"]


def test_bodies_are_asked_for_uncompressed_and_the_request_is_given_back_as_it_was(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with upstream(monkeypatch, WHOLE) as server, sync_client() as client:
        asked: list[str] = []
        client._client.event_hooks["response"].append(
            lambda response: asked.append(response.request.headers["accept-encoding"])
        )
        assert len(list(client.stream(TINY, INPUT))) == 3
        [request] = server.requests
    assert b"accept-encoding: identity\r\n" in request.lower()
    assert "gzip" in asked[0]
    assert instrumented.flush(WAIT_S)
    run, rows = recorded(rec)
    assert isinstance(rows[0].event, Opened)
    assert dict(run.anomalies) == {}


def test_an_upstream_that_compresses_all_the_same_is_read_by_the_caller_and_recorded_as_it_came(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(b"".join(FRAMES))
    answer = head(
        "200 OK", "Content-Encoding: gzip", "Transfer-Encoding: chunked", "Connection: close"
    )
    with upstream(monkeypatch, answer + chunked(packed)), sync_client() as client:
        assert len(list(client.stream(TINY, INPUT))) == 3
    assert instrumented.flush(WAIT_S)
    run, rows = recorded(rec)
    assert body_of(rows) == packed
    assert run.anomalies["encoded_body"] == 1
