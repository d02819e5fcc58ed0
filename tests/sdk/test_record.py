"""One iterator recorded, without opening anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.errors import LogError
from tests.builders import completion, output, submit
from tests.sdk.calls import only_run, payloads

EVENTS: list[dict[str, Any]] = [{"type": "submit", "node_id": "a"}, {"type": "output", "output": 1}]
CHUNKS = [submit("a"), completion("a")[:7], completion("a")[7:] + output()]
WORKFLOW = "workflows/acme/poster"


async def asynchronous(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def test_events_pass_through_and_are_recorded(sqlite_url: str, rec: Recorder) -> None:
    stream = recorder.record(EVENTS, workflow=WORKFLOW, url=sqlite_url, input=b'{"seed": 1}')
    assert list(stream) == EVENTS
    run = rec.run(only_run(rec))
    assert (run.workflow, run.source, run.status) == (WORKFLOW, "iterator", "completed")
    assert payloads(rec, run.request_id) == EVENTS


def test_an_asynchronous_stream_is_recorded_likewise(sqlite_url: str, rec: Recorder) -> None:
    async def read() -> list[Any]:
        stream = recorder.record(asynchronous(CHUNKS), workflow=WORKFLOW, url=sqlite_url)
        return [chunk async for chunk in stream]

    assert asyncio.run(read()) == CHUNKS
    assert rec.run(only_run(rec)).status == "completed"


def test_the_database_is_the_one_of_recorder_open_by_default(
    sqlite_url: str, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDER_DATABASE_URL", sqlite_url)
    assert list(recorder.record(EVENTS, workflow=WORKFLOW, request_id="run-1")) == EVENTS
    assert rec.run("run-1").status == "completed"


def test_a_service_takes_it_as_well(sqlite_rec: Recorder) -> None:
    with ApiServer(sqlite_rec) as server:
        assert list(recorder.record(CHUNKS, workflow=WORKFLOW, url=server.url)) == CHUNKS
        assert sqlite_rec.run(only_run(sqlite_rec)).status == "completed"


def test_whoever_stops_early_is_gone_and_everything_is_closed(
    sqlite_url: str, rec: Recorder
) -> None:
    stream = recorder.record(iter(EVENTS), workflow=WORKFLOW, url=sqlite_url)
    assert next(stream) == EVENTS[0]
    stream.close()  # type: ignore[attr-defined]
    assert rec.run(only_run(rec)).status == "cancelled"


def test_an_error_of_the_stream_is_the_caller_s(sqlite_url: str, rec: Recorder) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield EVENTS[0]
        raise ConnectionResetError("peer left")

    with pytest.raises(ConnectionResetError, match="peer left"):
        list(recorder.record(broken(), workflow=WORKFLOW, url=sqlite_url))
    assert rec.run(only_run(rec)).close_reason == "cut"


def test_a_url_that_makes_no_sense_is_told_in_place_of_the_first_item() -> None:
    stream = recorder.record(EVENTS, workflow=WORKFLOW, url="no url")
    with pytest.raises(LogError):
        next(stream)
