"""Wherever the recorder fails beside fal's client, its caller sees what it would have seen without it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fal_client
import pytest

from recorder.clock import SystemClock
from recorder.definitions import Definitions
from recorder.instrumentation import Instrumentation
from recorder.lease import Watch
from recorder.run_recorder import RunRecorder
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from recorder.store.spool import Spool
from recorder.writer import LogWriter
from tests.core.raw_server import head, serving
from tests.sdk.calls import (
    INPUT,
    TINY,
    Seen,
    closed,
    seen_async,
    stream_of_the_module,
    sync_client,
)
from tests.sdk.conftest import call_fal_at
from tests.sdk.test_endings import CUT, REFUSED, RUN_ID, WHOLE
from tests.trust.outage.test_fail_open import FAULTS, FailPoints, raises, walk

# Without an id of the run: every attempt is another one.
ANSWERS = [answer.replace(RUN_ID, b"") for answer in (WHOLE, CUT, REFUSED)]
NAMES = ["whole", "cut", "refused"]


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    opened = connect(sqlite_url)
    yield opened
    opened.close()


@contextmanager
def instrumented(points: FailPoints, database: Database, spool: Path) -> Iterator[None]:
    """fal's client, recorded by what fails at the n-th call."""
    log = SqlLog(database)
    writer = LogWriter(points.before(log), spool=Spool(spool, str(uuid.uuid4())))
    clock = points.before(SystemClock())
    rec = RunRecorder(
        points.before(writer), Watch(database, log), Definitions(lambda *_: None, None), clock=clock
    )
    try:
        with Instrumentation(points.before(rec), fal_client.client, "all"):
            yield
    finally:
        rec.writer = writer
        rec.close()


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("answer", ANSWERS, ids=NAMES)
def test_a_stream_is_the_same_wherever_the_recorder_fails(
    *,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    answer: bytes,
) -> None:
    with serving([answer]) as server:
        call_fal_at(server.url, monkeypatch)
        expected = stream_of_the_module()

        def attempt(points: FailPoints) -> None:
            with instrumented(points, database, tmp_path / "spool"):
                assert stream_of_the_module() == expected

        assert walk(attempt, raises(fault)) > 8


@pytest.mark.parametrize("answer", ANSWERS, ids=NAMES)
def test_an_asynchronous_stream_is_the_same_wherever_the_recorder_fails(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with serving([answer]) as server, asyncio.Runner() as runner:
        call_fal_at(server.url, monkeypatch)
        client = fal_client.AsyncClient()

        def stream() -> Seen:
            return runner.run(seen_async(client.stream(TINY, INPUT)))

        def attempt(points: FailPoints) -> None:
            with instrumented(points, database, tmp_path / "spool"):
                assert stream() == expected

        expected = stream()
        assert walk(attempt, raises(RuntimeError("a bug"))) > 8
        runner.run(closed(client))


def test_calls_and_queued_runs_are_the_same_wherever_the_recorder_fails(
    database: Database, tmp_path: Path
) -> None:
    def calls(client: fal_client.SyncClient) -> list[Any]:
        handle = client.submit(TINY, INPUT)
        answers = [client.run(TINY, INPUT), handle.get(), client.subscribe(TINY, INPUT)]
        return [answer["output"] for answer in answers]

    with sync_client() as client:
        expected = calls(client)

        def attempt(points: FailPoints) -> None:
            with instrumented(points, database, tmp_path / "spool"):
                assert calls(client) == expected

        assert walk(attempt, raises(RuntimeError("a bug"))) > 20


def test_errors_are_the_same_wherever_the_recorder_fails(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = head("404 Not Found", "Content-Length: 4", "Connection: close") + b"none"
    with serving([missing]) as server, sync_client() as client:
        call_fal_at(server.url, monkeypatch)

        def attempt(points: FailPoints) -> None:
            with (
                instrumented(points, database, tmp_path / "spool"),
                pytest.raises(fal_client.FalClientHTTPError) as refused,
            ):
                client.run(TINY, INPUT)
            assert (refused.value.status_code, refused.value.message) == (404, "none")

        assert walk(attempt, raises(RuntimeError("a bug"))) > 8


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_is_not_swallowed(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interruption: type[BaseException],
) -> None:
    def fault() -> None:
        raise interruption

    with serving(ANSWERS[:1]) as server, sync_client() as client:
        call_fal_at(server.url, monkeypatch)
        with (
            instrumented(FailPoints(4, fault), database, tmp_path / "spool"),
            pytest.raises(interruption),
        ):
            list(client.stream(TINY, INPUT))
