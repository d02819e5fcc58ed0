"""Many writers, many processes, and readers that follow them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.errors import RunClosed, SequenceConflict
from recorder.events import Closed, LoggedEvent
from recorder.store.engine import Database, connect
from recorder.store.log import Receipt, SqlLog
from recorder.tail import follow
from tests.builders import as_new, new_event, plain_run
from tests.logs import WAIT_S
from tests.raw import RawDatabase
from tests.store.batches import HeldBatch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def other_database(database_url: str, database: Database) -> Iterator[Database]:
    """The same database, as another process would open it."""
    other = connect(database_url)
    yield other
    other.close()


@contextmanager
def following(log: SqlLog) -> Iterator[list[LoggedEvent]]:
    """A reader beside the block; its list is complete once the block is left."""
    seen: list[LoggedEvent] = []
    stop = threading.Event()
    reader = threading.Thread(target=lambda: seen.extend(follow(log, stop=stop)))
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        log.commits.nudge()
        reader.join(WAIT_S)
        assert not reader.is_alive()


def assert_dense(seen: list[LoggedEvent], count: int) -> None:
    assert [row.position for row in seen] == list(range(1, count + 1))


def test_eight_writers_at_once_and_a_reader_that_misses_nothing(
    database_url: str, log: SqlLog
) -> None:
    writers, batches, size = 8, 6, 5
    databases = [connect(database_url) for _ in range(writers)]
    together = threading.Barrier(writers)

    def write(number: int) -> None:
        mine = SqlLog(databases[number])
        together.wait(WAIT_S)
        for first in range(0, batches * size, size):
            outcomes = mine.append(plain_run(f"run-{number}", size, first=first))
            assert all(isinstance(each, Receipt) for each in outcomes)

    with following(log) as seen, ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    for database in databases:
        database.close()
    assert_dense(seen, writers * batches * size)
    for number in range(writers):
        mine = [row for row in seen if row.request_id == f"run-{number}"]
        assert as_new(mine) == plain_run(f"run-{number}", batches * size)
    assert verify(log).intact


def test_threads_that_share_a_log_take_turns(log: SqlLog) -> None:
    writers, events = 8, 10
    together = threading.Barrier(writers)

    def write(number: int) -> None:
        together.wait(WAIT_S)
        for event in plain_run(f"run-{number}", events):
            log.append([event])

    with following(log) as seen, ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    assert_dense(seen, writers * events)
    assert verify(log).intact


@pytest.mark.parametrize("size", [1, 3])
def test_processes_append_to_one_log_and_a_reader_misses_nothing(
    database_url: str, log: SqlLog, size: int
) -> None:
    events = 60
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.appending_process", database_url, name, str(events),
             str(size)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for name in ("left", "right")
    ]  # fmt: skip
    try:
        with following(log) as seen:
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
            endings = [process.communicate(timeout=WAIT_S) for process in _go(processes)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [said for _, said in endings] == [b"", b""]
    assert_dense(seen, 2 * events)
    for name in ("left", "right"):
        assert as_new(log.read_run(name)) == plain_run(name, events)
    assert verify(log).intact


def test_single_events_from_two_recorders_in_turns_follow_each_other(
    log: SqlLog, other_database: Database
) -> None:
    """What either knows of the head is out of date at every append, or at every second one."""
    other = SqlLog(other_database)
    mine, theirs = plain_run("mine", 9), plain_run("theirs", 9)
    turns = [(log, mine[0]), (other, theirs[0])]
    for number in range(1, 9, 2):
        turns += [(log, mine[number]), (other, theirs[number])]
        turns += [(log, mine[number + 1]), (log, mine[number + 1]), (other, theirs[number + 1])]
    positions = [
        outcome.position
        for recorder, event in turns
        for outcome in recorder.append([event])
        if isinstance(outcome, Receipt)
    ]
    assert len(positions) == len(turns)
    assert sorted(set(positions)) == list(range(1, 19))
    assert as_new(log.read_run("mine")) == mine
    assert as_new(log.read_run("theirs")) == theirs
    assert verify(log).intact


def test_a_recorder_that_knows_its_run_hears_that_another_has_closed_it(
    log: SqlLog, other_database: Database
) -> None:
    run = plain_run("a", 4)
    for event in run[:2]:
        log.append([event])
    SqlLog(other_database).append([new_event("a", 2, Closed(reason="recorder_lost"))])
    assert [type(each) for each in log.append([run[2]])] == [SequenceConflict]
    assert [type(each) for each in log.append([run[3]])] == [RunClosed]
    assert (log.head().position, verify(log).intact) == (3, True)


def _go(processes: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    """Lets all of them begin before anybody waits for one."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return processes


def test_a_reader_does_not_pass_a_writer_that_has_yet_to_commit(
    log: SqlLog, other_database: Database, raw: RawDatabase
) -> None:
    held = HeldBatch(plain_run("slow", 2))
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(log.append, held)
        held.wait_until_held()
        # The place every writer has to take is taken.
        if raw.is_sqlite:
            assert raw.refusal("BEGIN IMMEDIATE") == "database is locked"
        else:
            refusal = raw.refusal("SELECT * FROM log_head FOR UPDATE NOWAIT")
            assert refusal == 'could not obtain lock on row in relation "log_head"'
        other = SqlLog(other_database)
        fast = pool.submit(other.append, plain_run("fast", 1))
        assert other.read() == []
        assert other.head().position == 0
        assert not fast.done()
        held.release()
        outcomes = [*slow.result(WAIT_S), *fast.result(WAIT_S)]
    assert [each.position for each in outcomes if isinstance(each, Receipt)] == [1, 2, 3]
    assert [row.request_id for row in other.read()] == ["slow", "slow", "fast"]
    assert verify(log).intact


def test_the_same_batch_from_two_writers_at_once_goes_in_once(
    log: SqlLog, other_database: Database
) -> None:
    run = plain_run("a", 30)
    held = HeldBatch(run)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(log.append, held)
        held.wait_until_held()
        second = pool.submit(SqlLog(other_database).append, run)
        held.release()
        assert first.result(WAIT_S) == second.result(WAIT_S)
    assert as_new(log.read()) == run


def test_a_reader_sees_the_log_as_it_was_when_it_began(log: SqlLog, database: Database) -> None:
    log.append(plain_run("a", 1))
    with database.reading() as connection:
        count = "SELECT count(*) FROM events"
        assert connection.exec_driver_sql(count).scalar_one() == 1
        log.append(plain_run("a", 1, first=1))
        assert connection.exec_driver_sql(count).scalar_one() == 1
    assert log.head().position == 2
