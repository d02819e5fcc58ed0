"""The asynchronous twin of recording items: the same runs, the same exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from recorder.bootstrap import Recorder
from recorder.projections.steps import Failure
from tests.core.test_recording import ITEMS, STREAM, recorded_body


async def source(items: list[Any], failure: BaseException | None = None) -> AsyncIterator[Any]:
    """Items one after another, the event loop in between; then the failure."""
    for item in items:
        await asyncio.sleep(0)
        yield item
    if failure is not None:
        raise failure


async def collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


@pytest.mark.parametrize("items", [STREAM, ITEMS])
def test_items_are_handed_on_as_they_are_and_make_a_run(
    sqlite_rec: Recorder, items: list[Any]
) -> None:
    stream = sqlite_rec.record(source(items), workflow="w", request_id="run-1")
    passed = asyncio.run(collected(stream))
    assert [id(item) for item in passed] == [id(item) for item in items]
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.anomalies) == ("completed", "eof", {})


def test_the_bytes_are_those_that_a_synchronous_stream_leaves(sqlite_rec: Recorder) -> None:
    asyncio.run(
        collected(sqlite_rec.record(source(STREAM), workflow="w", request_id="asynchronous"))
    )
    list(sqlite_rec.record(STREAM, workflow="w", request_id="synchronous"))
    assert recorded_body(sqlite_rec, "asynchronous") == recorded_body(sqlite_rec, "synchronous")


def test_a_failing_source_ends_in_its_very_exception(sqlite_rec: Recorder) -> None:
    failure = ConnectionResetError("gone")
    stream = sqlite_rec.record(source(STREAM[:1], failure), workflow="w", request_id="run-1")
    with pytest.raises(ConnectionResetError) as raised:
        asyncio.run(collected(stream))
    assert raised.value is failure
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.error) == (
        "interrupted",
        "cut",
        Failure(message="ConnectionResetError"),
    )


def test_leaving_early_makes_a_cancelled_run(sqlite_rec: Recorder) -> None:
    stream = sqlite_rec.record(source(STREAM), workflow="w", request_id="run-1")

    async def take_one() -> None:
        async with aclosing(stream):  # type: ignore[type-var]
            async for _ in stream:
                break

    asyncio.run(take_one())
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.error) == ("cancelled", "client_gone", None)


def test_a_cancelled_task_makes_a_cancelled_run(sqlite_rec: Recorder) -> None:
    async def cancel_in_the_middle() -> None:
        waiting = asyncio.Event()

        async def silent() -> AsyncIterator[bytes]:
            yield STREAM[0]
            waiting.set()
            await asyncio.Event().wait()

        stream = sqlite_rec.record(silent(), workflow="w", request_id="run-1")
        task = asyncio.create_task(collected(stream))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_in_the_middle())
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.error) == ("cancelled", "client_gone", None)


def test_a_closed_writer_changes_nothing_for_the_stream(sqlite_rec: Recorder) -> None:
    sqlite_rec.writer.close()
    passed = asyncio.run(collected(sqlite_rec.record(source(STREAM), workflow="w")))
    assert passed == STREAM
