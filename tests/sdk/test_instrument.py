"""fal's own client, recorded without touching its callers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import fal_client
import pytest

import recorder
from recorder.bootstrap import Recorder
from recorder.errors import LogError, NotInstrumented
from recorder.events import Opened
from recorder.instrumentation import Instrumentation, instrument
from recorder.projections.runs import Run
from recorder.settings import Settings
from tests.core.raw_server import head, serving
from tests.logs import WAIT_S
from tests.sdk.calls import (
    INPUT,
    STICKER,
    STREAMS,
    TINY,
    TINY_TYPES,
    TOO_MANY,
    Stream,
    async_client,
    fault,
    only_run,
    payloads,
    sync_client,
)
from tests.sdk.conftest import call_fal_at


def told(run: Run) -> tuple[str, str, str | None]:
    """How it was called, what became of it, why it ended."""
    return run.mode, run.status, run.close_reason


@pytest.mark.parametrize("stream", STREAMS)
def test_what_a_caller_saw_of_a_stream_is_what_was_recorded(
    instrumented: Instrumentation, rec: Recorder, stream: Stream
) -> None:
    seen, end = stream()
    assert ([event["type"] for event in seen], end) == (TINY_TYPES, "end")
    assert instrumented.flush(WAIT_S)
    run = rec.run(only_run(rec))
    assert payloads(rec, run.request_id) == seen
    assert told(run) == ("stream", "completed", "eof")
    assert (run.workflow, run.source, dict(run.anomalies)) == (TINY, "sdk", {})
    assert [(step.node_id, step.status) for step in run.ordered_steps()] == [
        ("a", "completed"),
        ("b", "completed"),
    ]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_failing_step_is_seen_and_recorded_alike(
    instrumented: Instrumentation, rec: Recorder, stream: Stream
) -> None:
    seen, end = stream(TOO_MANY, app=STICKER)
    assert ([event["type"] for event in seen], end) == (["submit", "error"], "end")
    assert instrumented.flush(WAIT_S)
    run = rec.run(only_run(rec))
    assert payloads(rec, run.request_id) == seen
    assert (run.status, run.error and run.error.status) == ("failed", 422)


def sync_run(app: str, arguments: Any) -> Any:
    return fal_client.run(app, arguments)


def sync_subscribe(app: str, arguments: Any) -> Any:
    return fal_client.subscribe(app, arguments)


def async_run(app: str, arguments: Any) -> Any:
    async def call() -> Any:
        async with async_client() as client:
            return await client.run(app, arguments)

    return asyncio.run(call())


def async_subscribe(app: str, arguments: Any) -> Any:
    async def call() -> Any:
        async with async_client() as client:
            return await client.subscribe(app, arguments)

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("call", "mode"),
    [
        (sync_run, "call"),
        (async_run, "call"),
        (sync_subscribe, "queue"),
        (async_subscribe, "queue"),
    ],
)
def test_a_call_and_a_queued_run_are_recorded_with_their_output(
    instrumented: Instrumentation, rec: Recorder, call: Callable[..., Any], mode: str
) -> None:
    output = call(TINY, INPUT)
    assert instrumented.flush(WAIT_S)
    run = rec.run(only_run(rec))
    assert told(run) == (mode, "completed", "eof")
    last = payloads(rec, run.request_id)[-1]
    answer = last if mode == "call" else json.loads(last["body"])
    assert answer == output


@pytest.mark.parametrize("call", [sync_run, async_run, sync_subscribe, async_subscribe])
def test_a_refused_input_is_raised_and_recorded_alike(
    instrumented: Instrumentation, rec: Recorder, call: Callable[..., Any]
) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as refused:
        call(STICKER, TOO_MANY)
    assert refused.value.status_code == 422
    assert instrumented.flush(WAIT_S)
    run = rec.run(only_run(rec))
    assert (run.status, run.error and run.error.status) == ("failed", 422)


def test_a_queued_run_is_followed_by_whoever_asks_about_it(
    instrumented: Instrumentation, rec: Recorder
) -> None:
    handle = fal_client.submit(TINY, INPUT)
    status: Any = fal_client.status(TINY, handle.request_id)
    while not isinstance(status, fal_client.Completed):
        status = asyncio.run(async_status(handle.request_id))
    result = fal_client.result(TINY, handle.request_id)
    assert instrumented.flush(WAIT_S)
    run = rec.run(handle.request_id)
    assert told(run) == ("queue", "completed", "eof")
    exchanged = [each["what"] for each in payloads(rec, handle.request_id)]
    assert (exchanged[0], exchanged[-1]) == ("submit", "result")
    assert set(exchanged[1:-1]) == {"status"}
    assert result == json.loads(payloads(rec, handle.request_id)[-1]["body"])


async def async_status(request_id: str) -> Any:
    async with async_client() as client:
        return await client.status(TINY, request_id)


def test_a_queued_run_may_be_cancelled(instrumented: Instrumentation, rec: Recorder) -> None:
    slow = fault(apps={"*": {"latency": {"kind": "fixed", "seconds": 3_600}}})
    handle = fal_client.submit(TINY, INPUT, headers=slow)
    fal_client.cancel(TINY, handle.request_id)
    instrumented.uninstrument()
    run = rec.run(handle.request_id)
    assert run.status == "cancelled"
    assert run.queue is not None
    assert run.queue.cancel_requested


def test_clients_made_before_and_after_are_recorded(sqlite_url: str, settings: Settings) -> None:
    async def before_and_after() -> None:
        with sync_client() as earlier:
            async with async_client() as earlier_async:
                await both(earlier, earlier_async)
                with instrument(sqlite_url, settings=settings):
                    await both(earlier, earlier_async)
                    with sync_client() as later:
                        list(later.stream(TINY, INPUT))
                await both(earlier, earlier_async)

    async def both(sync: fal_client.SyncClient, asynchronous: fal_client.AsyncClient) -> None:
        list(sync.stream(TINY, INPUT))
        assert [event async for event in asynchronous.stream(TINY, INPUT)]

    asyncio.run(before_and_after())
    with recorder.open(sqlite_url) as rec:
        assert [run.status for run in rec.runs().runs] == ["completed"] * 3


@pytest.mark.parametrize(("record", "runs"), [("workflows", 0), ("all", 1), ("none", 0)])
def test_single_apps_are_recorded_on_request(
    sqlite_url: str,
    settings: Settings,
    record: Any,
    runs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = head("200 OK", "Content-Length: 2", "Connection: close", media_type="application/json")
    with serving([answer + b"{}"]) as server:
        call_fal_at(server.url, monkeypatch)
        with instrument(sqlite_url, record=record, settings=settings):
            assert fal_client.run("fal-ai/fast-sdxl", INPUT) == {}
    with recorder.open(sqlite_url) as rec:
        found = rec.runs().runs
        assert [(run.mode, run.workflow) for run in found] == [("call", "fal-ai/fast-sdxl")] * runs


def test_what_is_recorded_of_a_request_is_all_but_its_credentials(
    instrumented: Instrumentation, rec: Recorder
) -> None:
    with sync_client(key="a:secret") as client:
        client.run(TINY, INPUT, hint="a-hint", headers={"x-own": "dropped"})
    assert instrumented.flush(WAIT_S)
    first, *_ = rec.events(only_run(rec))
    assert isinstance(first.event, Opened)
    headers = first.event.request_headers
    assert headers["authorization"] == "[redacted]"
    assert headers["x-fal-runner-hint"] == "a-hint"
    assert headers["accept-encoding"] == "identity"
    assert "x-own" not in headers
    assert first.event.url == f"{fal_client.client.RUN_URL_FORMAT}{TINY}"
    assert first.event.input == '{"prompt":"a cute puppy","seed":6252023}'


def test_the_client_is_as_it_was_afterwards(sqlite_url: str, settings: Settings) -> None:
    transports = (
        (fal_client.client.BackupDomainTransport, "handle_request"),
        (fal_client.client.AsyncBackupDomainTransport, "handle_async_request"),
    )
    before = [vars(kind)[name] for kind, name in transports]
    with instrument(sqlite_url, settings=settings) as instrumentation:
        assert [vars(kind)[name] for kind, name in transports] != before
    assert [vars(kind)[name] for kind, name in transports] == before
    instrumentation.uninstrument()
    assert not instrumentation.is_on


def test_another_s_method_in_our_place_stays_there(
    sqlite_url: str, settings: Settings, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = fal_client.client.BackupDomainTransport
    monkeypatch.setattr(transport, "handle_request", transport.handle_request)  # to come back to
    instrumentation = instrument(sqlite_url, settings=settings)
    ours = transport.handle_request

    def theirs(self: Any, request: Any) -> Any:
        return ours(self, request)

    monkeypatch.setattr(transport, "handle_request", theirs)
    instrumentation.uninstrument()
    assert transport.handle_request is theirs
    assert len(list(fal_client.stream(TINY, INPUT))) == len(TINY_TYPES)
    assert rec.runs().runs == []


def test_instrumenting_twice_is_an_error(instrumented: Instrumentation, sqlite_url: str) -> None:
    with pytest.raises(NotInstrumented, match="recorded already"):
        instrument(sqlite_url)
    assert instrumented.is_on


def test_it_may_begin_again_once_it_has_ended(
    sqlite_url: str, settings: Settings, rec: Recorder
) -> None:
    for _ in range(2):
        with instrument(sqlite_url, settings=settings):
            list(fal_client.stream(TINY, INPUT))
    assert [run.status for run in rec.runs().runs] == ["completed"] * 2


@pytest.mark.parametrize(
    "url", ["no url", "mysql://h/d", "http://", "https://u:p@h", "http://h/?q"]
)
def test_a_url_that_makes_no_sense_is_told_at_once(url: str) -> None:
    with pytest.raises(LogError):
        instrument(url)
    assert not hasattr(fal_client.client.BackupDomainTransport.handle_request, "__wrapped__")


def test_a_client_too_old_or_missing_is_told_at_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.delattr(fal_client.client, "BackupDomainTransport")
        with pytest.raises(NotInstrumented, match="too old"):
            instrument(sqlite_url)
    monkeypatch.setitem(sys.modules, "fal_client", None)
    with pytest.raises(NotInstrumented, match="pip install fal-client"):
        instrument(sqlite_url)


def test_a_stream_under_way_at_the_end_goes_on_and_its_run_is_closed(
    sqlite_url: str, settings: Settings, rec: Recorder
) -> None:
    with instrument(sqlite_url, settings=settings):
        stream = fal_client.stream(TINY, INPUT)
        seen = [next(stream)]
    seen += stream
    assert [event["type"] for event in seen] == TINY_TYPES
    run = rec.run(only_run(rec))
    assert told(run) == ("stream", "interrupted", "error")
    assert run.error is not None
    assert run.error.message == "the client is recorded no longer"


def test_a_forked_child_records_nothing_until_it_is_instrumented_itself(
    instrumented: Instrumentation, rec: Recorder
) -> None:
    child = os.fork()
    if (
        child == 0
    ):  # as little as can be: the child has the threads of the test runner, standing still
        os._exit(0 if not instrumented.is_on else 1)
    assert os.waitpid(child, 0) == (child, 0)
    assert instrumented.is_on


def test_many_threads_record_at_the_same_time(instrumented: Instrumentation, rec: Recorder) -> None:
    def call() -> None:
        list(fal_client.stream(TINY, INPUT))
        fal_client.subscribe(TINY, INPUT)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert instrumented.flush(WAIT_S)
    runs = rec.runs().runs
    assert sorted((run.mode, run.status) for run in runs) == [
        *[("queue", "completed")] * 8,
        *[("stream", "completed")] * 8,
    ]
