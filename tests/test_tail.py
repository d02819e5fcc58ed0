"""Following the log: everything above a position, each event once, in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from recorder.bootstrap import Recorder
from recorder.events import LoggedEvent
from recorder.store.engine import Database, connect
from recorder.store.log import READ_BATCH, SqlLog
from recorder.tail import follow, follow_run
from tests.builders import as_new, interleaved, one_step_run, plain_run
from tests.logs import WAIT_S, WatchedLog


class Reader:
    """A thread that follows, and counts what it has seen."""

    def __init__(self, events: Iterator[LoggedEvent]) -> None:
        self.seen: list[LoggedEvent] = []
        self._one_more = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(events,))
        self._thread.start()

    def _run(self, events: Iterator[LoggedEvent]) -> None:
        for event in events:
            self.seen.append(event)
            self._one_more.release()

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._one_more.acquire(timeout=WAIT_S)

    def join(self) -> list[int]:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return [row.position for row in self.seen]


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_what_is_there_comes_first_then_what_is_appended(
    log: SqlLog, stop: threading.Event
) -> None:
    log.append(plain_run("a", 3))
    reader = Reader(follow(log, stop=stop))
    reader.wait_for(3)
    for event in plain_run("b", 4):
        log.append([event])
        reader.wait_for(1)
    stop.set()
    assert reader.join() == [1, 2, 3, 4, 5, 6, 7]
    assert as_new(reader.seen) == [*plain_run("a", 3), *plain_run("b", 4)]


def test_commits_of_another_process_are_noticed(
    database_url: str, log: SqlLog, stop: threading.Event
) -> None:
    other: Database = connect(database_url)
    reader = Reader(follow(log, stop=stop))
    SqlLog(other).append(plain_run("a", 2))  # its signal is not the reader's
    reader.wait_for(2)
    stop.set()
    assert reader.join() == [1, 2]
    other.close()


def test_following_resumes_after_the_last_position_seen(log: SqlLog, stop: threading.Event) -> None:
    log.append(plain_run("a", 5))
    stop.set()
    assert [row.position for row in follow(log, after=3, stop=stop)] == [4, 5]
    assert list(follow(log, after=5, stop=stop)) == []


def test_a_reader_told_to_stop_still_gets_all_that_is_committed(
    log: SqlLog, stop: threading.Event
) -> None:
    stop.set()
    log.append(plain_run("a", 2_500))
    assert [row.position for row in follow(log, stop=stop)] == list(range(1, 2_501))


def test_a_reader_told_to_stop_while_it_reads_misses_nothing(
    log: SqlLog, stop: threading.Event
) -> None:
    log.append(plain_run("a", 3))
    following = follow(log, stop=stop)
    seen = list(islice(following, 3))
    log.append(plain_run("a", 2, first=3))
    stop.set()
    seen += following
    assert as_new(seen) == plain_run("a", 5)


def test_a_reader_told_to_stop_as_it_finds_nothing_looks_once_more(log: SqlLog) -> None:
    stop = threading.Event()

    class LastMomentLog(WatchedLog):
        """Right after a read found nothing, one more event is committed and the stop comes."""

        def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
            batch = super().read(after, limit)
            if not batch and not stop.is_set():
                log.append(plain_run("a", 1))
                stop.set()
            return batch

    assert [row.position for row in follow(LastMomentLog(log), stop=stop)] == [1]


def test_a_recorder_is_followed_from_any_position(rec: Recorder) -> None:
    stop = threading.Event()
    reader = Reader(rec.follow(after=2, stop=stop))
    rec.writer.submit(one_step_run("a")).result(WAIT_S)
    reader.wait_for(3)
    stop.set()
    assert reader.join() == [3, 4, 5]


def test_a_run_is_followed_to_its_end_and_no_further(log: SqlLog) -> None:
    run, other = one_step_run("run"), one_step_run("other")
    log.append(interleaved(run[:2], other))
    reader = Reader(follow_run(log, "run"))
    reader.wait_for(2)
    for event in run[2:]:
        log.append([event])
        reader.wait_for(1)
    reader.join()
    assert as_new(reader.seen) == run


def test_a_run_that_has_ended_is_read_from_a_seq_on(log: SqlLog) -> None:
    run = one_step_run("run")
    log.append(run)
    assert [row.seq for row in follow_run(log, "run", after_seq=2)] == [3, 4]
    assert list(follow_run(log, "run", after_seq=4)) == []
    assert list(follow_run(log, "none")) == []
