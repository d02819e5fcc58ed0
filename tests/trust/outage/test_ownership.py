"""Who closes the runs of a recorder that died, and what becomes of one that wakes up again."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.errors import RunClosed, SequenceConflict
from recorder.events import Closed
from recorder.lease import LEASE_S, Watch
from recorder.projections.runs import Run, fold, new_run
from recorder.recording import Recording, record_items
from recorder.store.engine import Database
from recorder.store.log import SqlLog, run_events
from recorder.store.spool import Segment
from recorder.writer import LogWriter
from tests.builders import history, opened, output, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S
from tests.raw import RawDatabase
from tests.trust.outage.pausing import FlakySpool, files

LEASE_US = round(LEASE_S * 1_000_000)
DAY_US = 24 * 3600 * 1_000_000


class Peer:
    """A recorder: its log, its clock, its watch."""

    def __init__(self, database: Database, name: str, clock: ManualClock | None = None) -> None:
        self.log = SqlLog(database, instance=name)
        self.clock = clock or ManualClock()
        self.watch = Watch(database, self.log, clock=self.clock)

    def begin(self, request_id: str) -> None:
        """A run it does not end."""
        document = opened(request_id, recorder=self.log.instance)
        self.log.append(history(request_id, submit("a"), document=document, reason=None))

    def looks_after(self, us: int) -> list[str]:
        """What it closes when it looks after some time."""
        self.clock.advance(us)
        return self.watch.close_lost_runs()


@pytest.fixture
def a(database: Database) -> Peer:
    return Peer(database, "a")


@pytest.fixture
def b(database: Database) -> Peer:
    return Peer(database, "b")


def state(log: SqlLog, request_id: str) -> Run:
    return fold(new_run(request_id), run_events(log, request_id))


def ends(log: SqlLog, request_id: str) -> list[str]:
    return [
        row.event.reason for row in run_events(log, request_id) if isinstance(row.event, Closed)
    ]


def ownership(raw: RawDatabase) -> tuple[list[tuple[str, str]], list[str]]:
    """The open runs with their owners, and the recorders known."""
    open_ = raw.execute("SELECT request_id, recorder FROM open_runs ORDER BY request_id")
    known = raw.execute("SELECT instance FROM recorders ORDER BY instance")
    return [(run, owner) for run, owner in open_], [name for (name,) in known]


def test_a_copy_of_a_run_belongs_to_nobody_and_is_never_closed_as_lost(b: Peer) -> None:
    document = opened("copied", recorder="far away")
    b.log.append_copies(history("copied", submit("a"), document=document, reason=None))
    assert [b.looks_after(us) for us in (0, LEASE_US, DAY_US)] == [[], [], []]
    assert state(b.log, "copied").status == "running"


def test_a_run_is_closed_once_its_recorder_was_silent_for_a_lease_time(a: Peer, b: Peer) -> None:
    a.begin("r")
    assert b.watch.close_lost_runs() == []
    assert b.looks_after(LEASE_US - 1) == []
    assert b.looks_after(1) == ["r"]
    run = state(a.log, "r")
    assert (run.status, run.close_reason) == ("interrupted", "recorder_lost")
    assert [step.status for step in run.steps.values()] == ["unfinished"]
    assert b.looks_after(LEASE_US) == []
    assert verify(a.log).intact


@pytest.mark.parametrize("phase", range(4))
def test_a_dead_recorder_s_runs_are_closed_within_two_lease_times(
    a: Peer, b: Peer, phase: int
) -> None:
    a.begin("r")
    b.looks_after(phase)
    waited = 0
    while not ends(a.log, "r"):
        a_quarter = LEASE_US // 4
        b.looks_after(a_quarter)
        waited += a_quarter
    assert waited <= 2 * LEASE_US


def test_a_living_recorder_keeps_runs_in_which_nothing_happens(a: Peer, b: Peer) -> None:
    a.begin("r")
    for _ in range(20):
        a.watch.beat()
        assert b.looks_after(LEASE_US // 2) == []
    assert ends(a.log, "r") == []


def test_the_wall_clock_may_jump_a_day_back_and_forth(a: Peer, b: Peer) -> None:
    a.begin("r")
    b.watch.close_lost_runs()
    for jump in (DAY_US, -DAY_US, DAY_US):
        b.clock.set_wall(b.clock.now_us() + jump)
        a.watch.beat()
        assert b.looks_after(LEASE_US - 1) == []
    b.clock.set_wall(0)
    assert b.looks_after(LEASE_US) == ["r"]


def test_a_restarted_recorder_closes_what_it_left_itself(database: Database, a: Peer) -> None:
    a.begin("r")
    restarted = Peer(database, "a again")
    assert restarted.watch.close_lost_runs() == []
    assert restarted.looks_after(LEASE_US) == ["r"]


def test_a_watcher_never_closes_its_own_runs(a: Peer) -> None:
    a.begin("r")
    a.watch.close_lost_runs()
    assert a.looks_after(10 * LEASE_US) == []


def test_a_watcher_that_stood_still_in_the_middle_of_a_look_closes_nothing(
    database: Database, a: Peer
) -> None:
    class StandsStill(ManualClock):
        """An hour passes whenever the clock has been read."""

        def monotonic_us(self) -> int:
            now_us = super().monotonic_us()
            self.advance(DAY_US // 24)
            return now_us

    a.begin("r")
    b = Peer(database, "b", StandsStill())
    for _ in range(4):
        a.watch.beat()
        assert b.watch.close_lost_runs() == []


def test_two_watchers_at_once_close_a_run_once(database: Database, a: Peer) -> None:
    for number in range(10):
        a.begin(f"r{number}")
    watchers = [Peer(database, f"w{number}") for number in range(2)]
    together = threading.Barrier(2)
    for watcher in watchers:
        watcher.watch.close_lost_runs()

    def look(watcher: Peer) -> list[str]:
        together.wait(WAIT_S)
        return watcher.looks_after(LEASE_US)

    with ThreadPoolExecutor(2) as pool:
        closed = [request_id for mine in pool.map(look, watchers) for request_id in mine]
    assert {*closed} == {f"r{number}" for number in range(10)}
    assert [ends(a.log, f"r{number}") for number in range(10)] == [["recorder_lost"]] * 10
    assert verify(a.log).intact


def test_nothing_is_left_of_a_dead_recorder_and_of_runs_that_ended(
    a: Peer, b: Peer, raw: RawDatabase
) -> None:
    a.begin("r")
    b.log.append(history("s", document=opened("s", recorder="b")))
    assert ownership(raw) == ([("r", "a")], ["a", "b"])
    b.watch.close_lost_runs()
    b.looks_after(LEASE_US)
    assert ownership(raw) == ([], ["b"])


def test_a_recorder_forgotten_in_the_moment_it_opened_a_run_makes_itself_known_again(
    a: Peer, b: Peer, raw: RawDatabase
) -> None:
    a.begin("r")
    raw.execute("DELETE FROM recorders")
    b.watch.close_lost_runs()
    a.watch.beat()
    assert b.looks_after(LEASE_US) == []
    a.watch.beat()
    assert b.looks_after(LEASE_US) == []


def test_one_who_records_nothing_leaves_no_trace_of_its_beats(a: Peer, raw: RawDatabase) -> None:
    a.watch.beat()
    assert ownership(raw) == ([], [])


def test_a_recorder_that_wakes_up_is_refused_and_its_caller_does_not_notice(
    a: Peer, b: Peer, tmp_path: Path
) -> None:
    writer = LogWriter(a.log, spool=FlakySpool(tmp_path / "spool"))
    recording = Recording(writer, clock=a.clock)
    recording.open(opened("r"))
    chunks = [submit("a"), submit("b"), output()]
    stream = record_items(chunks, recording)
    seen = [next(stream)]
    assert writer.flush(WAIT_S)
    b.watch.close_lost_runs()
    assert b.looks_after(LEASE_US) == ["r"]
    seen += stream
    assert writer.flush(WAIT_S)
    assert seen == chunks
    assert isinstance(recording.fault, SequenceConflict | RunClosed)
    assert (ends(a.log, "r"), state(a.log, "r").events) == (["recorder_lost"], 3)
    assert writer.close()
    kept = [Segment(tmp_path / "spool" / name) for name in files(tmp_path / "spool")]
    assert {segment.path.suffix for segment in kept} == {".refused"}
    frames = [spooled.event.frame for segment in kept for spooled in segment.read()]
    assert frames[:2] == chunks[1:]


PROGRAM = """
import sys
import recorder
name, count = sys.argv[2], int(sys.argv[3])
rec = recorder.open(sys.argv[1])
for number in range(count):
    chunks = [b'data: {"type": "output"}\\n\\n'] * 5
    list(rec.record(chunks, workflow="w", request_id=f"{name}-{number}"))
stream = rec.record([b"data: 1\\n\\n"] * 2, workflow="w", request_id=f"{name}-open")
next(stream)
assert rec.writer.flush()
print("ready", flush=True)
sys.stdin.read()
list(stream)
rec.close()
"""


def test_many_processes_record_into_one_log_and_only_the_killed_one_loses_its_run(
    database_url: str, database: Database, b: Peer, raw: RawDatabase
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database_url, f"p{number}", "5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        assert len(ownership(raw)[0]) == 3
        killed, *living = processes
        killed.kill()
        killed.wait(WAIT_S)
        for process in living:
            process.communicate(timeout=WAIT_S)
        assert [process.returncode for process in living] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    b.watch.close_lost_runs()
    assert b.looks_after(LEASE_US) == ["p0-open"]
    assert [ends(b.log, f"p{n}-open") for n in range(3)] == [["recorder_lost"], ["eof"], ["eof"]]
    assert [state(b.log, f"p{n}-4").events for n in range(3)] == [7, 7, 7]
    assert ownership(raw)[0] == []
    assert verify(b.log).intact
