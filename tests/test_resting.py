"""A writer that rests after what nobody waited for, and reads the chunks it was sent itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from recorder import inbox
from recorder import writer as writing
from recorder.bootstrap import Recorder
from recorder.events import Closed, NewEvent
from recorder.lanes import Lane
from recorder.recording import Recording
from recorder.writer import LogWriter
from tests.builders import as_new, completion, frame, opened, output, plain_run, submit
from tests.clocks import NOVEMBER_2023_US, ManualClock
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import missing_from, post, run_of
from tests.trust.outage.test_hanging import WatchedSpool

LONG_S = 100 * WAIT_S


@pytest.fixture
def watched(sqlite_rec: Recorder) -> WatchedLog:
    return WatchedLog(sqlite_rec.log)


@pytest.fixture
def spool(tmp_path: Path) -> WatchedSpool:
    return WatchedSpool(tmp_path / "own-spool")


@pytest.fixture
def writer(watched: WatchedLog, spool: WatchedSpool) -> Iterator[LogWriter]:
    writer = LogWriter(watched, spool=spool)
    yield writer
    watched.release()
    assert writer.close()


@pytest.fixture
def rests_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what ends a rest lets the writer go on."""
    monkeypatch.setattr(writing, "REST_S", LONG_S)


def sizes(watched: WatchedLog) -> list[int]:
    """How many events each transaction had."""
    return [len(batch) for batch in watched.batches]


def post_unread(
    writer: LogWriter, lane: Lane, events: list[NewEvent], reads: list[NewEvent] | None = None
) -> None:
    """Every event as a chunk of its own; what is read is added to `reads`."""

    def read(event: NewEvent) -> list[NewEvent]:
        if reads is not None:
            reads.append(event)
        return [event]

    for event in events:
        writer.post_unread(partial(read, event), len(event.frame), lane=lane)


@pytest.mark.usefixtures("rests_long")
class TestARest:
    def test_gathers_what_nobody_waits_for(self, writer: LogWriter, watched: WatchedLog) -> None:
        run = run_of("r", *map(submit, "abcd"))
        lane = Lane("r")
        post(writer, lane, run[:1])
        watched.wait_for_append()
        post(writer, lane, run[1:])
        busy = writer.is_busy
        assert writer.flush(WAIT_S)
        assert (busy, writer.is_busy) == (True, False)
        assert sizes(watched) == [1, 5]
        assert as_new(watched.read_run("r")) == run

    def test_begins_with_the_transaction_and_not_with_what_comes_after_it(
        self, writer: LogWriter, watched: WatchedLog
    ) -> None:
        for number in range(3):  # an idle writer takes what comes at once
            writer.submit(plain_run(f"{number}", 1)).result(WAIT_S)
        assert sizes(watched) == [1, 1, 1]

    def test_ends_when_somebody_waits(self, writer: LogWriter, watched: WatchedLog) -> None:
        lane = Lane("r", opened=True)
        post(writer, lane, plain_run("r", 1))
        watched.wait_for_append()
        post(writer, lane, plain_run("r", 3, first=1))
        [receipt] = writer.submit(plain_run("s", 1)).result(WAIT_S)
        assert receipt.position == 5
        assert sizes(watched) == [1, 4]

    def test_does_not_keep_the_helper_from_setting_aside_what_is_too_much(
        self,
        writer: LogWriter,
        watched: WatchedLog,
        spool: WatchedSpool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        lane = Lane("r")
        run = run_of("r", submit("a"), submit("b" * 2_000))
        post(writer, lane, run[:2])
        watched.wait_for_append()
        monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 2_000)
        post(writer, lane, run[2:])
        assert spool.wrote.acquire(timeout=WAIT_S)
        assert writer.flush(WAIT_S)
        assert as_new(watched.read_run("r")) == run

    def test_ends_when_the_writer_is_closed(self, watched: WatchedLog) -> None:
        writer = LogWriter(watched)
        run = run_of("r", *map(submit, "ab"))
        lane = Lane("r")
        post(writer, lane, run[:1])
        watched.wait_for_append()
        post(writer, lane, run[1:])
        assert writer.close()
        assert as_new(watched.read_run("r")) == run


class TestAChunk:
    def test_is_read_by_the_writer_and_not_by_its_sender(
        self, writer: LogWriter, watched: WatchedLog
    ) -> None:
        names: list[str] = []

        def read() -> list[NewEvent]:
            names.append(threading.current_thread().name)
            return plain_run("r", 1)

        writer.post_unread(read, 10, lane=Lane("r", opened=True))
        assert writer.flush(WAIT_S)
        assert names == ["log-writer"]
        assert as_new(watched.read_run("r")) == plain_run("r", 1)

    def test_that_completes_no_event_is_no_transaction(
        self, writer: LogWriter, watched: WatchedLog
    ) -> None:
        writer.post_unread(list, 10, lane=Lane("r"))
        assert writer.flush(WAIT_S)
        assert watched.batches == []

    def test_has_the_time_it_came_at_however_late_it_is_read(
        self, writer: LogWriter, watched: WatchedLog
    ) -> None:
        clock = ManualClock()
        recording = Recording(writer, clock=clock)
        watched.hold()
        recording.open(opened("r"))
        watched.wait_for_append()
        for chunk in (submit("a"), completion("a")[:9], completion("a")[9:] + output()):
            clock.advance(1_000)
            recording.take(chunk)
        clock.advance(1_000)
        recording.close("eof")
        clock.advance(1_000_000)
        watched.release()
        recording.wait()
        assert [
            (row.type, row.received_at - NOVEMBER_2023_US, row.elapsed_us)
            for row in watched.read_run("r")
        ] == [
            ("opened", 0, 0),
            ("submit", 1_000, 1_000),
            ("completion", 3_000, 3_000),
            ("output", 3_000, 3_000),
            ("closed", 4_000, 4_000),
        ]

    @pytest.mark.parametrize("sees_the_output", [True, False])
    def test_tells_whether_a_client_left_with_the_output_however_late_it_is_read(
        self, writer: LogWriter, watched: WatchedLog, sees_the_output: bool
    ) -> None:
        recording = Recording(writer, clock=ManualClock())
        watched.hold()
        recording.open(opened("r"))
        watched.wait_for_append()
        recording.take(output()) if sees_the_output else recording.take(output()[:-1])
        recording.client_left()
        recording.take(b"\n")
        recording.close("eof", if_left="client_gone")
        watched.release()
        recording.wait()
        closed = watched.read_run("r")[-1].event
        assert isinstance(closed, Closed)
        assert (closed.reason, closed.left_us) == (
            ("eof", None) if sees_the_output else ("client_gone", 0)
        )

    def test_cannot_be_told_apart_at_once_after_others_were_left_to_the_writer(
        self, writer: LogWriter
    ) -> None:
        recording = Recording(writer, clock=ManualClock())
        recording.open(opened("r"))
        recording.take(submit("a"))
        assert recording.feed(submit("b")) == []
        assert isinstance(recording.fault, RuntimeError)

    def test_goes_to_the_spool_with_its_events_when_the_log_hangs(
        self,
        writer: LogWriter,
        watched: WatchedLog,
        spool: WatchedSpool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 10_000)
        watched.hold()
        lane = Lane("r")
        run = run_of("r", *(submit(f"{n}" * 2_000) for n in range(30)))
        post(writer, lane, run[:1])
        watched.wait_for_append()
        post_unread(writer, lane, run[1:])
        assert spool.wrote.acquire(timeout=WAIT_S)
        watched.release()
        assert writer.flush(WAIT_S)
        assert as_new(watched.read_run("r")) == run

    def test_goes_to_the_spool_with_its_events_when_the_writer_is_closed_before_it_is_read(
        self, watched: WatchedLog, spool: WatchedSpool
    ) -> None:
        writer = LogWriter(watched, spool=spool)
        watched.hold()
        lane = Lane("r")
        run = run_of("r", *map(submit, "abc"))
        post(writer, lane, run[:1])
        watched.wait_for_append()
        post_unread(writer, lane, run[1:])
        assert not writer.close(timeout_s=0)
        watched.release()
        assert not spool.refusals
        assert len(list(spool._folder.glob("*.spool"))) == 2


class TestMoreUnreadThanMay:
    @pytest.fixture(autouse=True)
    def bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inbox, "MAX_UNREAD_BYTES", 10_000)

    def test_is_read_by_its_sender_oldest_first(
        self, writer: LogWriter, watched: WatchedLog
    ) -> None:
        watched.hold()
        lane = Lane("r")
        run = run_of("r", *(submit(f"{n}" * 2_000) for n in range(30)))
        reads: list[NewEvent] = []
        post(writer, lane, run[:1])
        watched.wait_for_append()
        post_unread(writer, lane, run[1:], reads)
        assert reads == run[1 : 1 + len(reads)]
        assert writer._inbox.unread_bytes <= 10_000 < writer._inbox.size_bytes
        watched.release()
        assert writer.flush(WAIT_S)
        assert reads == run[1:]
        assert as_new(watched.read_run("r")) == run

    def test_is_given_up_and_counted_where_there_is_no_room_for_it(
        self, writer: LogWriter, watched: WatchedLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(inbox, "MAX_QUEUED_BYTES", 40_000)
        watched.hold()
        lane = Lane("r")
        run = run_of("r", *(submit(f"{n}" * 2_000) for n in range(60)))
        post(writer, lane, run[:1])
        watched.wait_for_append()
        for event in run[1:]:
            post_unread(writer, lane, [event])
            assert writer._inbox.size_bytes <= 40_000 + 10_000
        watched.release()
        assert writer.flush(WAIT_S)
        lost_events, _ = missing_from(watched, "r", run)
        assert 0 < lost_events < 60
        assert lane.broken is None


def test_of_a_stream_of_many_chunks_nothing_is_lost_whoever_reads_them(
    writer: LogWriter, watched: WatchedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer, its helper and the senders take turns, at bounds that are reached all the time."""
    monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 3_000)
    monkeypatch.setattr(inbox, "MAX_UNREAD_BYTES", 6_000)
    monkeypatch.setattr(writing, "MAX_BATCH_EVENTS", 7)
    bodies = [
        b"".join(frame({"type": "submit", "node_id": f"{n}", "x": "x" * 150}) for n in range(200))
        for _ in range(3)
    ]

    def stream(number: int) -> None:
        recording = Recording(writer, clock=ManualClock())
        recording.open(opened(f"r{number}"))
        body = bodies[number]
        for start in range(0, len(body), 97 + number):
            recording.take(body[start : start + 97 + number])
        recording.close("eof")

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert writer.flush(WAIT_S)
    for number, body in enumerate(bodies):
        rows = watched.read_run(f"r{number}")
        assert [row.seq for row in rows] == list(range(202))
        assert b"".join(row.frame or b"" for row in rows[1:-1]) == body
