"""Coroutines that wait for their appends: what threads are told, in their own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVarTuple

import pytest

from recorder.errors import LogUnavailable, RunClosed, SequenceConflict, WriterClosed
from recorder.store.log import Receipt, SqlLog
from recorder.writer import Lane, LogWriter
from tests.builders import as_new, new_event, one_step_run, plain_run, submit
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import run_of

PRODUCERS = 50

Ts = TypeVarTuple("Ts")


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    woken = 0

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def in_loop(main: Coroutine[Any, Any, Any]) -> CountingLoop:
    """Runs a coroutine to its end in a loop of its own; returns the loop, closed."""
    loop = CountingLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(main, WAIT_S))
    finally:
        loop.close()
    return loop


@pytest.fixture
def watched(log: SqlLog) -> WatchedLog:
    return WatchedLog(log)


@pytest.fixture
def writer(watched: WatchedLog) -> Iterator[LogWriter]:
    writer = LogWriter(watched)
    yield writer
    watched.release()
    assert writer.close()


def held(watched: WatchedLog, writer: LogWriter) -> None:
    """Holds the writer up in a transaction, so that what is sent next goes in together."""
    watched.hold()
    writer.submit(plain_run("busy", 1))
    watched.wait_for_append()


def test_a_loop_is_woken_once_for_all_that_a_transaction_commits(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    receipts: list[list[Receipt]] = []

    async def main() -> None:
        waiting = [writer.submit_async(plain_run(f"r{n}", 2)) for n in range(PRODUCERS)]
        assert not any(each.done() for each in waiting)
        watched.release()
        receipts.extend(await asyncio.gather(*waiting))

    held(watched, writer)
    loop = in_loop(main())
    positions = [[each.position for each in run] for run in receipts]
    assert positions == [[2 * n + 2, 2 * n + 3] for n in range(PRODUCERS)]
    assert log.head().position == 2 * PRODUCERS + 1
    assert loop.woken == 1


def test_a_hundred_coroutines_that_wait_for_every_event_fill_each_others_transactions(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    async def produce(number: int) -> None:
        for seq, event in enumerate(one_step_run(f"run-{number}")):
            [receipt] = await writer.submit_async([event])
            assert log.head().position >= receipt.position > seq

    async def main() -> None:
        await asyncio.gather(*map(produce, range(100)))

    loop = in_loop(main())
    assert [as_new(log.read_run(f"run-{n}")) for n in range(100)] == [
        one_step_run(f"run-{n}") for n in range(100)
    ]
    assert loop.woken == len(watched.batches) < 500


def test_a_coroutine_is_told_what_a_thread_is_told(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    log.append(one_step_run("closed"))
    fault = RuntimeError("a bug")
    sent = {
        "kept": plain_run("a", 2),
        "conflict": [new_event("a", 1, submit("other"))],
        "closed": [new_event("closed", 5, submit("late"))],
    }
    told: dict[str, Any] = {}

    async def main() -> None:
        waiting = {name: writer.submit_async(events) for name, events in sent.items()}
        watched.release()
        answers = await asyncio.gather(*waiting.values(), return_exceptions=True)
        told.update(zip(waiting, answers, strict=True))
        watched.failures = [fault, fault]  # together with others, and alone
        with pytest.raises(RuntimeError) as caught:
            await writer.submit_async(plain_run("b", 1))
        assert caught.value is fault

    held(watched, writer)
    in_loop(main())
    assert [receipt.position for receipt in told["kept"]] == [7, 8]
    assert type(told["conflict"]) is SequenceConflict
    assert type(told["closed"]) is RunClosed


def test_a_lane_s_run_gets_its_id_for_coroutines_too(writer: LogWriter, log: SqlLog) -> None:
    standing, mine = run_of("r", submit("a")), run_of("r", submit("a"), submit("b"))
    log.append(standing)
    lane = Lane("r")

    async def main() -> None:
        await asyncio.gather(*[writer.submit_async([event], lane=lane) for event in mine])

    in_loop(main())
    assert (lane.request_id, lane.broken) == ("r~2", None)
    assert [row.frame for row in log.read_run("r~2")] == [event.frame for event in mine]


def test_each_loop_is_woken_for_its_own(writer: LogWriter, watched: WatchedLog) -> None:
    ready = threading.Barrier(3)
    loops: dict[str, CountingLoop] = {}

    async def wait_in(name: str) -> None:
        waiting = [writer.submit_async(plain_run(f"{name}{n}", 1)) for n in range(PRODUCERS)]
        ready.wait(WAIT_S)
        await asyncio.gather(*waiting)
        assert all(each.get_loop() is asyncio.get_running_loop() for each in waiting)

    def run(name: str) -> None:
        loops[name] = in_loop(wait_in(name))

    held(watched, writer)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    ready.wait(WAIT_S)
    watched.release()
    for thread in threads:
        thread.join(WAIT_S)
    assert {name: loop.woken for name, loop in loops.items()} == {"x": 1, "y": 1}


def leaves_at_once(writer: LogWriter) -> None:
    async def main() -> None:
        writer.submit_async(plain_run("r", 1))

    in_loop(main())


def gives_up(writer: LogWriter) -> None:
    async def main() -> None:
        writer.submit_async(plain_run("r", 1)).cancel()
        await asyncio.sleep(0)

    in_loop(main())


@pytest.mark.parametrize("ends", [leaves_at_once, gives_up])
def test_a_loop_that_does_not_wait_any_more_disturbs_nobody(
    writer: LogWriter, watched: WatchedLog, log: SqlLog, ends: Callable[[LogWriter], None]
) -> None:
    held(watched, writer)
    ends(writer)
    thread = writer.submit(plain_run("s", 1))
    watched.release()
    assert [receipt.position for receipt in thread.result(WAIT_S)] == [3]
    assert as_new(log.read_run("r")) == plain_run("r", 1)


def test_a_coroutine_that_gave_up_is_passed_over_among_others(
    writer: LogWriter, watched: WatchedLog
) -> None:
    async def main() -> None:
        first, second = (writer.submit_async(plain_run(name, 1)) for name in "rs")
        first.cancel()
        watched.release()
        assert [receipt.position for receipt in await second] == [3]
        assert first.cancelled()

    held(watched, writer)
    in_loop(main())


def test_closing_tells_coroutines_that_the_log_is_away(log: SqlLog) -> None:
    watched = WatchedLog(log)
    watched.away = LogUnavailable("nobody answers")
    writer = LogWriter(watched, pause=lambda _: None)

    async def main() -> None:
        waiting = writer.submit_async(plain_run("r", 1))
        for _ in range(2):  # at the second try the first has failed
            await asyncio.to_thread(watched.wait_for_append)
        assert not await asyncio.to_thread(writer.close, 0)
        with pytest.raises(LogUnavailable, match=r"^nobody answers$"):
            await waiting
        with pytest.raises(WriterClosed):
            writer.submit_async(plain_run("r", 1))

    in_loop(main())
