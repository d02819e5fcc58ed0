"""A database that hangs: nobody waits for it, and memory has its bounds."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from recorder import inbox
from recorder import writer as writing
from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.lanes import EVENT_OVERHEAD_BYTES, Lane
from recorder.recording import Recording, record_items
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.spool import Segment, SpooledEvent
from recorder.writer import LogWriter
from tests.builders import as_new, frame, opened, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import FlakySpool, missing_from, post, run_of

MIB = 1024 * 1024
EVENTS = 50_000


class WatchedSpool(FlakySpool):
    """A spool that tells of its writes, and can hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wrote = threading.Semaphore(0)
        self.written: list[Segment] = []
        self.passing = threading.Event()
        self.passing.set()

    def write(self, number: int, events: Sequence[SpooledEvent]) -> Segment:
        assert self.passing.wait(WAIT_S)
        try:
            self.written.append(super().write(number, events))
            return self.written[-1]
        finally:
            self.wrote.release()


@pytest.fixture
def hung(sqlite_url: str) -> Iterator[WatchedLog]:
    """A log whose appends do not return until it is released."""
    database = connect(sqlite_url)
    watched = WatchedLog(SqlLog(database))
    watched.hold()
    yield watched
    database.close()


@pytest.fixture
def spool(tmp_path: Path) -> WatchedSpool:
    return WatchedSpool(tmp_path / "spool")


def test_what_queues_beyond_the_high_water_mark_goes_to_the_spool(
    hung: WatchedLog, spool: WatchedSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 100_000)
    writer = LogWriter(hung, spool=spool)
    lane = Lane("r")
    run = run_of("r", *(submit(f"{n}" * 2_000) for n in range(100)))
    post(writer, lane, run[:1])
    hung.wait_for_append()
    post(writer, lane, run[1:])
    assert spool.wrote.acquire(timeout=WAIT_S)
    with writer._changed:
        assert writer._changed.wait_for(lambda: writer._inbox.size_bytes <= 100_000, WAIT_S)
    hung.release()
    assert writer.flush(WAIT_S)
    assert as_new(hung.read_run("r")) == run
    assert writer.close()


def test_what_is_sent_shortly_after_one_another_shares_a_file(
    hung: WatchedLog, spool: WatchedSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer gathers until there is enough for a file, here for longer than the test goes on."""
    monkeypatch.setattr(writing, "_GATHER_S", 10 * WAIT_S)
    writer = LogWriter(hung, spool=spool)
    lane = Lane("r")
    run = run_of("r", *map(submit, "abcd"))
    post(writer, lane, run[:1])
    hung.wait_for_append()  # it stands still; another waits in its place
    pausing = threading.Thread(target=writer._wait_while_setting_aside, args=(10 * WAIT_S,))
    pausing.start()
    post(writer, lane, run[1:])
    assert not spool.wrote.acquire(timeout=0.1)
    monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 0)
    with writer._changed:
        writer._changed.notify_all()
    assert spool.wrote.acquire(timeout=WAIT_S)
    [segment] = spool.written
    assert [each.event for each in segment.read()] == run[1:]
    hung.release()
    assert writer.flush(WAIT_S)
    assert as_new(hung.read_run("r")) == run
    assert writer.close()
    pausing.join(WAIT_S)
    assert not pausing.is_alive()


def test_what_finds_no_room_while_all_hangs_is_given_up_and_counted(
    hung: WatchedLog, spool: WatchedSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 50_000)
    monkeypatch.setattr(writing, "MAX_BATCH_BYTES", 50_000)
    monkeypatch.setattr(inbox, "MAX_QUEUED_BYTES", 200_000)
    spool.passing.clear()
    writer = LogWriter(hung, spool=spool)
    lanes = [Lane(f"r{number}") for number in range(3)]
    runs = [
        run_of(f"r{number}", *(submit(f"{n}" * 2_000) for n in range(100))) for number in range(3)
    ]
    post(writer, Lane("first"), run_of("first"))
    hung.wait_for_append()
    longest = 0
    for events in zip(*runs, strict=True):
        for lane, event in zip(lanes, events, strict=True):
            writer.post([event], lane=lane)
            longest = max(longest, writer._inbox.size_bytes)
    # The event that goes beyond, and the `closed` events, which are never given up.
    sizes = [[len(event.frame) + EVENT_OVERHEAD_BYTES for event in run] for run in runs]
    assert longest <= 200_000 + max(map(max, sizes)) + sum(of_run[-1] for of_run in sizes)
    hung.release()
    spool.passing.set()
    assert writer.flush(WAIT_S)
    lost = [missing_from(hung, lane.request_id, run) for lane, run in zip(lanes, runs, strict=True)]
    assert all(events > 0 for events, _ in lost)
    assert [lane.broken for lane in lanes] == [None, None, None]
    assert writer.close()


def test_room_that_comes_and_goes_makes_a_gap_for_each_loss(
    hung: WatchedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(hung)
    lane = Lane("r")
    run = run_of("r", *map(submit, "abcdef"))
    post(writer, lane, run[:2])
    hung.wait_for_append()
    for number, event in enumerate(run[2:-1]):
        monkeypatch.setattr(inbox, "MAX_QUEUED_BYTES", -1 if number % 2 == 0 else MIB)
        writer.post([event], lane=lane)
    monkeypatch.undo()
    writer.post(run[-1:], lane=lane)
    hung.release()
    assert writer.flush(WAIT_S)
    kept = [row.type for row in hung.read_run("r")]
    assert kept == ["opened", "submit", "gap", "submit", "gap", "submit", "gap", "closed"]
    assert missing_from(hung, "r", run)[0] == 3
    assert lane.broken is None
    assert writer.close()


def test_a_sender_waits_for_neither_a_hung_log_nor_a_hung_spool(
    hung: WatchedLog, spool: WatchedSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is handed on before anything is let go; a sender who waited would never end."""
    monkeypatch.setattr(inbox, "HIGH_WATER_BYTES", 1_000)
    spool.passing.clear()
    writer = LogWriter(hung, spool=spool)
    items = [frame({"type": "submit", "node_id": f"{n}", "x": "x" * 500}) for n in range(200)]
    recording = Recording(writer, clock=ManualClock())
    recording.open(opened("run-1"))
    assert list(record_items(items, recording)) == items
    hung.release()
    spool.passing.set()
    recording.wait(WAIT_S)
    assert [row.frame for row in hung.read_run("run-1")][1:-1] == items
    assert writer.close()


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start(1)
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("what", ["the spool is full", "the spool hangs"])
def test_a_burst_while_nothing_can_be_written_takes_no_more_than_256_mib(
    hung: WatchedLog, spool: WatchedSpool, what: str, traced: None
) -> None:
    spool.full = what == "the spool is full"
    if not spool.full:
        spool.passing.clear()
    writer = LogWriter(hung, spool=spool)
    lane = Lane("run-1")
    post(writer, lane, run_of("run-1", closes=False))
    hung.wait_for_append()
    before, _ = tracemalloc.get_traced_memory()
    for seq in range(1, EVENTS + 1):
        writer.post([NewEvent("run-1", seq, "unrecognised", bytes(6_000), 0, 0)], lane=lane)
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before <= 256 * MIB
    assert lane.broken is None
    spool.full = True
    spool.passing.set()
    hung.away = LogUnavailable("nobody answers")
    hung.release()
    assert not writer.close(timeout_s=0)
