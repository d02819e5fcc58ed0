"""Closing while the database hangs in the middle of an append: it returns, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import recorder
from recorder.audit import verify
from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.lanes import Lane
from recorder.recording import Recording
from recorder.store.engine import Database
from recorder.store.log import SqlLog
from recorder.store.spool import segments
from recorder.writer import LogWriter
from tests.builders import as_new, frame, one_step_run, opened, output, plain_run, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S, WatchedLog
from tests.raw import RawDatabase
from tests.store.batches import HeldBatch
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, files, post, run_of, waiting

TOO_LATE = "the log did not answer in time"
RUN = run_of("r", submit("a"), submit("b"), output())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def hung(log: SqlLog) -> Iterator[WatchedLog]:
    """A log whose appends do not return until it is released."""
    watched = WatchedLog(log)
    watched.hold()
    yield watched
    watched.release()


def let_go(hung: WatchedLog, writer: LogWriter) -> None:
    """The database answers after all, when nobody waits for it any more."""
    hung.release()
    writer._thread.join(WAIT_S)
    assert not writer._thread.is_alive()


def adopt(log: SqlLog, folder: Path) -> None:
    """The next process delivers what is there."""
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert writer.close()
    assert files(folder) == []


def spooled(folder: Path) -> list[list[NewEvent]]:
    """The events of each segment."""
    return [[each.event for each in segment.read()] for segment in segments(folder)]


@pytest.mark.parametrize("answers", ["before the next process", "after it"])
def test_what_was_being_appended_and_what_queued_is_left_to_the_next_process(
    hung: WatchedLog, log: SqlLog, folder: Path, answers: str
) -> None:
    writer = LogWriter(hung, spool=FlakySpool(folder))
    lane = Lane("r")
    post(writer, lane, RUN[:1])
    hung.wait_for_append()
    post(writer, lane, RUN[1:])
    other = writer.submit(plain_run("s", 2))
    assert not writer.close(timeout_s=0)
    assert str(other.exception(WAIT_S)) == TOO_LATE
    assert type(other.exception()) is LogUnavailable
    assert lane.broken is None
    assert spooled(folder) == [RUN[:1], RUN[1:] + plain_run("s", 2)]
    if answers == "before the next process":
        let_go(hung, writer)
        assert log.head().position == 1
    adopt(log, folder)
    if answers == "after it":
        let_go(hung, writer)
    assert as_new(log.read_run("r")) == RUN
    assert as_new(log.read_run("s")) == plain_run("s", 2)
    assert log.head().position == len(RUN) + 2
    assert verify(log).intact


def test_closing_again_changes_nothing(hung: WatchedLog, folder: Path) -> None:
    writer = LogWriter(hung, spool=FlakySpool(folder))
    writer.submit(plain_run("s", 2))
    hung.wait_for_append()
    assert not writer.close(timeout_s=0)
    assert not writer.close(timeout_s=0)
    assert spooled(folder) == [plain_run("s", 2)]
    let_go(hung, writer)
    assert not writer.close()
    assert spooled(folder) == [plain_run("s", 2)]


def test_a_log_that_hangs_again_while_its_backlog_is_delivered_keeps_nothing_back(
    hung: WatchedLog, log: SqlLog, folder: Path
) -> None:
    hung.away = LogUnavailable("nobody answers")
    hung.release()
    spool = FlakySpool(folder)
    spool.full = True
    writer = SteppedWriter(hung, spool)
    post(writer, Lane("r"), RUN)
    sent = writer.submit(plain_run("s", 2))
    writer.wait_for_pause()
    spool.full = False
    hung.away = None
    hung.hold()
    writer.free()
    for _ in range(2):
        hung.wait_for_append()
    assert not writer.close(timeout_s=0)
    assert str(sent.exception(WAIT_S)) == "nobody answers"
    assert sum(map(len, spooled(folder))) == len(RUN) + 2
    let_go(hung, writer)
    adopt(log, folder)
    assert as_new(log.read_run("r")) == RUN
    assert as_new(log.read_run("s")) == plain_run("s", 2)


def test_an_answer_within_the_timeout_counts(hung: WatchedLog, log: SqlLog, folder: Path) -> None:
    writer = LogWriter(hung, spool=FlakySpool(folder))
    sent = writer.submit(plain_run("s", 2))
    hung.wait_for_append()
    closed: list[bool] = []
    closing = threading.Thread(target=lambda: closed.append(writer.close(WAIT_S)))
    closing.start()
    hung.release()
    closing.join(WAIT_S)
    assert closed == [True]
    assert [receipt.position for receipt in sent.result(WAIT_S)] == [1, 2]
    assert not folder.exists()


def test_without_a_spool_senders_are_told(hung: WatchedLog, log: SqlLog) -> None:
    writer = LogWriter(hung)
    recording = Recording(writer, clock=ManualClock())
    recording.open(opened("r"))
    hung.wait_for_append()
    recording.feed(frame({"type": "submit"}))
    sent = writer.submit(plain_run("s", 1))
    assert not writer.close(timeout_s=0)
    assert str(sent.exception(WAIT_S)) == TOO_LATE
    assert recording.fault is None
    let_go(hung, writer)
    assert [row.type for row in log.read()] == ["opened"]


def test_a_database_is_closed_beside_an_append_that_hangs(database: Database) -> None:
    log = SqlLog(database)
    batch = HeldBatch(plain_run("a", 2))
    appending = threading.Thread(target=log.append, args=(batch,))
    appending.start()
    batch.wait_until_held()
    database.close(timeout_s=0)
    batch.release()
    appending.join(WAIT_S)
    assert not appending.is_alive()
    assert database._appending._connection is None
    assert as_new(log.read()) == plain_run("a", 2)


HANGING_PROGRAM = """
import sys, recorder
from tests.builders import one_step_run
rec = recorder.open(sys.argv[1])
rec.start_projecting()
rec.writer.submit(one_step_run("a"))
print("ready", flush=True)
sys.stdin.readline()
rec.close(timeout_s=0)
print("closed", flush=True)
"""


def test_a_process_ends_while_its_database_hangs(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the write lock for as long as this one lives."""
    monkeypatch.setenv("RECORDER_SPOOL", str(tmp_path / "spool"))
    raw = RawDatabase(database_url)
    raw.execute("BEGIN IMMEDIATE" if raw.is_sqlite else "BEGIN")
    raw.execute("UPDATE log_head SET position = position + 1")
    with subprocess.Popen(
        [sys.executable, "-c", HANGING_PROGRAM, database_url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        print("go", file=program.stdin, flush=True)
        told = program.communicate(timeout=WAIT_S)
    assert (program.returncode, *told) == (0, "closed\n", "")
    raw.execute("ROLLBACK")
    raw.close()
    assert waiting(next((tmp_path / "spool").iterdir())) == 1
    with recorder.open(database_url) as rec:
        assert rec.run("a").status == "completed"
        assert as_new(rec.log.read()) == one_step_run("a")
