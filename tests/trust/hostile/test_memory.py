"""Memory: what a decoder, a reader and a hundred readers may hold, whatever arrives."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, repeat
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.events import LoggedEvent
from recorder.settings import Settings
from recorder.sse import MAX_FRAME_BYTES, Decoder, Frame
from recorder.store import log as store
from recorder.store.engine import connect
from recorder.store.log import SqlLog, run_events
from recorder.tail import follow
from tests.api.stalled import ask, warnings_of
from tests.builders import frame, history, output, submit
from tests.trust.hostile.cases import MIB, data

CHUNK = b"x" * (64 * 1024)
READERS = 100
TAKING_ALL = (
    "runs/big/body",
    "runs/big/stream?speed=max",
    "runs/big/stream?speed=max&raw=true",
    "events?after=0",
)


class Peak:
    """The most that was allocated at once, in bytes."""

    value = 0


@contextmanager
def peak() -> Iterator[Peak]:
    found = Peak()
    tracemalloc.start()
    try:
        yield found
        found.value = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chunks_of(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), len(CHUNK)):
        yield body[start : start + len(CHUNK)]


class TestADecoder:
    def test_takes_a_line_over_its_limit_and_reads_the_event_after_it(self) -> None:
        body = data(b"x" * 40_000_000) + output()
        decoder = Decoder()
        frames = [each for chunk in chunks_of(body) for each in decoder.feed(chunk)]
        assert b"".join(each.raw for each in frames) + decoder.close() == body
        assert [each.oversize for each in frames] == [True, True, False]
        assert frames[-1] == Frame(raw=b"\r\n" + output(), data=output()[6:-2].decode())

    @pytest.mark.parametrize("beginning", [b"data: ", b": ", b"", b"data: x\n"])
    def test_holds_no_more_than_its_limit_of_a_line_without_an_end(self, beginning: bytes) -> None:
        decoder = Decoder()
        sizes = []
        with peak() as most:
            for chunk in (beginning, *repeat(CHUNK, 8 * MAX_FRAME_BYTES // len(CHUNK))):
                sizes += [len(each.raw) for each in decoder.feed(chunk)]
        assert max(sizes) <= MAX_FRAME_BYTES + len(CHUNK)
        # The buffer, what it grows by, and the piece cut out of it.
        assert most.value < 3 * MAX_FRAME_BYTES

    def test_holds_no_more_than_its_limit_of_comments_without_an_end(self) -> None:
        decoder = Decoder()
        pings = (b": " + b"x" * 4_000 + b"\r\n\r\n") * 16
        with peak() as most:
            for chunk in repeat(pings, 3 * MAX_FRAME_BYTES // len(pings)):
                for each in decoder.feed(chunk):
                    assert each.oversize
        assert most.value < 4 * MAX_FRAME_BYTES


def big_run(request_id: str, count: int, size_bytes: int) -> list[Any]:
    frames = [frame({"type": "submit", "node_id": "a", "x": "x" * size_bytes})] * count
    return history(request_id, *frames, reason=None)


def test_a_hundred_slow_readers_hold_a_batch_each(rec: Recorder) -> None:
    rec.log.append(big_run("big", 12, MIB // 2))
    expected = [each.position for each in run_events(rec.log, "big")]
    with peak() as most:
        readers = [
            run_events(rec.log, "big") if number % 2 else follow(rec.log)
            for number in range(READERS)
        ]
        seen: list[list[int]] = [[] for _ in readers]
        for _ in expected:
            for reader, positions in zip(readers, seen, strict=True):
                positions.append(next(reader).position)
    assert seen == [expected] * READERS
    held_each = store._READ_BYTES + MIB // 2
    assert most.value < READERS * held_each + 16 * MIB


def test_a_hundred_readers_of_the_service_that_stop_reading_are_dropped_and_hold_a_batch_each(
    sqlite_url: str,
) -> None:
    settings = Settings(database_url=sqlite_url, fal_key=None, reader_patience_s=1.0)
    addresses = cycle(f"/api/v1/{each}" for each in TAKING_ALL)
    with recorder.open(sqlite_url, settings=settings) as rec, warnings_of("api") as warnings:
        rec.log.append(big_run("big", 24, MIB // 2))  # more than the system holds for each
        with peak() as most, ApiServer(rec) as server, ExitStack() as readers:
            for _ in range(READERS):
                readers.enter_context(ask(server, next(addresses)))
            for _ in range(READERS):
                warnings.wait_for_one()
    said = Counter(each.partition(",")[0] for each in warnings.messages)
    assert said == {
        f"/api/v1/{path}: the reader has taken nothing for 1 s and is dropped": READERS // 4 * times
        for path, times in (("runs/big/body", 1), ("runs/big/stream", 2), ("events", 1))
    }
    assert most.value < 256 * MIB


@pytest.mark.parametrize("of_run", [True, False], ids=["of a run", "of the log"])
def test_a_read_from_postgres_takes_no_more_than_a_batch(postgres_url: str, of_run: bool) -> None:
    database = connect(postgres_url)
    log = SqlLog(database)
    log.append(big_run("big", 30, MIB))
    log.append(history("small", *(submit(str(number)) for number in range(50))))
    fetched: list[int] = []

    def measure(_: object, cursor: Any, *__: object) -> None:
        result = cursor.pgresult
        fetched.append(
            sum(
                len(result.get_value(row, column) or b"")
                for row in range(result.ntuples)
                for column in range(result.nfields)
            )
        )

    sqlalchemy_event.listen(database.engine, "after_cursor_execute", measure)
    events = list(run_events(log, "big") if of_run else islice(_all(log), 31))
    database.close()
    assert [len(each.frame or b"") > MIB for each in events] == [False, *[True] * 30]
    # The driver receives bytes as text, two digits each.
    assert max(fetched) <= 2 * (store._READ_BYTES + MIB) + MIB


def _all(log: SqlLog) -> Iterator[LoggedEvent]:
    return store.all_events(log)
