"""A log that goes away: all that was sent arrives once, in order, whoever brings it."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.errors import LogUnavailable, SequenceConflict
from recorder.events import NewEvent
from recorder.lanes import Lane
from recorder.store.log import SqlLog
from recorder.store.spool import Segment, segments
from recorder.writer import LogWriter
from tests.builders import as_new, completion, output, plain_run, submit
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import (
    FlakySpool,
    SteppedWriter,
    files,
    missing_from,
    post,
    run_of,
    waiting,
)

AWAY = LogUnavailable("nobody answers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def watched(log: SqlLog) -> WatchedLog:
    """A log that is away from the start."""
    watched = WatchedLog(log)
    watched.away = AWAY
    return watched


def long_run(number: int) -> list[NewEvent]:
    wire = [frame for n in range(10) for frame in (submit(f"{n}"), completion(f"{n}"))]
    return run_of(f"r{number}", *wire, output(number))


def test_what_many_lanes_send_while_the_log_is_away_arrives_in_order(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    writer = SteppedWriter(watched, FlakySpool(folder))
    runs = [long_run(number) for number in range(12)]
    lanes = [Lane(run[0].request_id) for run in runs]
    senders = [
        threading.Thread(target=post, args=(writer, lane, run))
        for lane, run in zip(lanes, runs, strict=True)
    ]
    for sender in senders:
        sender.start()
    for _ in range(3):
        writer.wait_for_pause()
        writer.go_on()
    for sender in senders:
        sender.join(WAIT_S)
    writer.wait_for_pause()
    assert log.head().position == 0
    watched.away = None
    writer.free()
    assert writer.flush(WAIT_S)
    assert [as_new(log.read_run(f"r{number}")) for number in range(12)] == runs
    assert files(folder) == []
    assert verify(log).intact
    assert writer.close()


def test_how_many_events_are_set_aside_is_told(watched: WatchedLog, folder: Path) -> None:
    spool = FlakySpool(folder)
    writer = SteppedWriter(watched, spool)
    lane = Lane("r")
    post(writer, lane, run_of("r", closes=False))
    writer.wait_for_pause()
    post(writer, lane, plain_run("r", 300, first=1))
    writer.step()
    assert (writer.waiting, waiting(folder)) == (301, 2)
    spool.full = True
    post(writer, lane, plain_run("r", 20, first=301))
    writer.step()
    assert writer.waiting == 321
    writer.die(spool)
    adopting = SteppedWriter(watched, FlakySpool(folder))
    adopting.wait_for_pause()
    assert adopting.waiting == 2, "one event, and a file that is not read yet"
    watched.away = None
    adopting.free()
    assert adopting.flush(WAIT_S)
    assert adopting.waiting == 0
    assert adopting.close()


def test_what_waits_on_the_disk_takes_next_to_no_memory(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    writer = SteppedWriter(watched, FlakySpool(folder))
    lane = Lane("r")
    post(writer, lane, run_of("r", closes=False))
    writer.wait_for_pause()
    tracemalloc.start(1)
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10):
        post(writer, lane, plain_run("r", 300, first=1 + number * 300))
        writer.step()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held - before < 128 * 1024
    watched.away = None
    writer.free()
    assert writer.flush(WAIT_S)
    assert as_new(log.read_run("r", 0, 10_000)) == plain_run("r", 3_000, first=1)
    assert writer.close()


def test_a_lane_whose_file_is_damaged_while_it_lives_is_broken_at_its_next_event(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    writer = SteppedWriter(watched, FlakySpool(folder))
    lane = Lane("r")
    run = run_of("r", submit("a"), submit("b"), submit("c"))
    with writer._changed:
        post(writer, lane, run[:3])
    writer.wait_for_pause()
    [segment] = segments(folder)
    segment.path.write_bytes(segment.path.read_bytes()[:-1])
    watched.away = None
    writer.free()
    post(writer, lane, run[3:])
    assert writer.flush(WAIT_S)
    assert as_new(log.read_run("r")) == run[:2]
    assert isinstance(lane.broken, SequenceConflict)
    assert writer.close()  # until then a file that is delivered may still be there
    assert {path.suffix for path in folder.iterdir()} == {".damaged", ".refused"}


def test_the_group_in_flight_goes_before_what_overflowed_meanwhile(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    watched.hold()
    writer = SteppedWriter(watched, FlakySpool(folder))
    lane = Lane("r")
    run = run_of("r", submit("a"), submit("b"), output())
    post(writer, lane, run[:2])
    watched.wait_for_append()
    post(writer, lane, run[2:4])
    writer._set_aside()  # as the keeper does when the queue is too long
    post(writer, lane, run[4:])
    watched.release()
    writer.wait_for_pause()
    assert [len(list(segment.read())) for segment in segments(folder)] == [2, 2, 1]
    watched.away = None
    writer.free()
    assert writer.flush(WAIT_S)
    assert as_new(log.read_run("r")) == run
    assert writer.close()


def test_what_the_keeper_sets_aside_goes_before_what_still_queues(
    log: SqlLog, folder: Path
) -> None:
    class Overtaken(LogWriter):
        """The keeper is quicker, just when the writer has found nothing set aside."""

        def _deliver_queue(self) -> bool:
            if len(self._inbox) > 1:
                with self._inbox.taking:
                    number = self._backlog.next_number()
                    first, _ = self._inbox.take(most_events=1, most_bytes=1)
                self._backlog.settle(self._backlog.reserve(number, first))
            return super()._deliver_queue()

    writer = Overtaken(log, spool=FlakySpool(folder))
    lane = Lane("r", opened=True)
    run = plain_run("r", 50)
    with writer._changed:
        post(writer, lane, run)
    assert writer.flush(WAIT_S)
    assert (as_new(log.read_run("r")), lane.broken) == (run, None)
    assert writer.close()


def test_the_pauses_grow_and_begin_anew_after_a_success(watched: WatchedLog, folder: Path) -> None:
    writer = SteppedWriter(watched, FlakySpool(folder))
    first = writer.submit(plain_run("a", 1))
    writer.wait_for_pause()
    for _ in range(8):
        writer.step()
    assert writer.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    watched.away = None
    writer.go_on()
    assert first.result(WAIT_S)[0].position == 1
    assert writer.flush(WAIT_S)
    watched.away = AWAY
    second = writer.submit(plain_run("a", 1, first=1))
    writer.wait_for_pause()
    assert writer.pauses[9:] == [0.05]
    watched.away = None
    writer.free()
    assert second.result(WAIT_S)[0].position == 2
    assert writer.close()


# A process ends, the next one takes over


def dies_with(watched: WatchedLog, folder: Path, lane: Lane, *sent: list[NewEvent]) -> None:
    """A process sends into a log that is away, a segment for each list, and is killed."""
    spool = FlakySpool(folder)
    writer = SteppedWriter(watched, spool)
    for number, events in enumerate(sent):
        with writer._changed:
            post(writer, lane, events)
        if number == 0:
            writer.wait_for_pause()
        else:
            writer.step()
    writer.die(spool)


def adopt(log: SqlLog, folder: Path) -> None:
    """The next process delivers what is there."""
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert writer.close()


RUN = run_of("r", submit("a"), completion("a"), output())


def test_a_run_that_was_never_committed_is_opened_by_the_next_process(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    dies_with(watched, folder, Lane("r"), RUN[:1], RUN[1:3], RUN[3:])
    assert len(segments(folder)) == 3
    adopt(log, folder)
    assert as_new(log.read_run("r")) == RUN
    assert files(folder) == []


def test_a_run_that_was_under_way_goes_on(watched: WatchedLog, log: SqlLog, folder: Path) -> None:
    log.append(RUN[:2])
    dies_with(watched, folder, Lane("r", opened=True), RUN[2:3], RUN[3:])
    adopt(log, folder)
    assert as_new(log.read_run("r")) == RUN


def test_an_id_taken_meanwhile_gives_way_to_the_next_suffix(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    dies_with(watched, folder, Lane("r"), RUN[:2], RUN[2:])
    others = run_of("r", submit("a"))
    log.append(others)
    adopt(log, folder)
    assert as_new(log.read_run("r")) == others
    assert missing_from(log, "r~2", RUN) == (0, 0)
    assert verify(log).intact


def test_a_run_with_a_suffix_keeps_it(watched: WatchedLog, log: SqlLog, folder: Path) -> None:
    others = run_of("r", submit("a"))
    log.append(others[:-1])
    watched.away = None
    spool = FlakySpool(folder)
    writer = SteppedWriter(watched, spool)
    lane = Lane("r")
    writer.submit(RUN[:1], lane=lane).result(WAIT_S)
    watched.away = AWAY
    post(writer, lane, RUN[1:])  # numbered and named by a sender who has not heard of the suffix
    writer.wait_for_pause()
    writer.die(spool)
    adopt(log, folder)
    assert as_new(log.read_run("r")) == others[:-1]
    assert missing_from(log, "r~2", RUN) == (0, 0)


@pytest.mark.parametrize("delivered", [1, 2, 3])
def test_an_adopter_that_dies_halfway_loses_and_doubles_nothing(
    watched: WatchedLog, log: SqlLog, folder: Path, delivered: int
) -> None:
    dies_with(watched, folder, Lane("r"), RUN[:1], RUN[1:3], RUN[3:])
    copies = {path: path.read_bytes() for path in folder.iterdir()}
    for segment in segments(folder)[delivered:]:
        segment.delete()
    adopt(log, folder)  # as far as the first adopter came, who did not get to delete anything
    for path, data in copies.items():
        path.write_bytes(data)
    adopt(log, folder)
    assert as_new(log.read_run("r")) == RUN
    assert log.head().position == len(RUN)
    assert verify(log).intact
    assert files(folder) == []


def test_a_run_left_in_the_spool_without_its_end_belongs_to_the_recorder_that_died(
    watched: WatchedLog, log: SqlLog, folder: Path
) -> None:
    run = run_of("r", submit("a"), closes=False)
    dies_with(watched, folder, Lane("r"), run)
    adopt(log, folder)
    with log._database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT request_id, recorder FROM open_runs").all()
        owners = connection.exec_driver_sql("SELECT instance FROM recorders").all()
    assert [tuple(row) for row in rows] == [("r", "tests")]
    assert owners == []


@pytest.mark.parametrize("full_at_first", [False, True])
def test_closing_while_the_log_is_away_leaves_all_to_the_next_process(
    watched: WatchedLog, log: SqlLog, folder: Path, full_at_first: bool
) -> None:
    spool = FlakySpool(folder)
    spool.full = full_at_first
    writer = SteppedWriter(watched, spool)
    post(writer, Lane("r"), RUN[:2])
    writer.wait_for_pause()
    spool.full = False
    waits = writer.submit(plain_run("s", 2))
    writer.free()
    assert not writer.close(timeout_s=0)
    assert waits.exception(WAIT_S) is AWAY
    assert sum(len(list(Segment(s.path).read())) for s in segments(folder)) == 4
    assert files(folder, but=".spool") == []
    adopt(log, folder)
    assert as_new(log.read_run("r")) == RUN[:2]
    assert as_new(log.read_run("s")) == plain_run("s", 2)
