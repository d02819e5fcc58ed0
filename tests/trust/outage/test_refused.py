"""What the log fails at is set apart and counted; it costs nobody else an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.errors import LogUnavailable, SequenceConflict
from recorder.events import Closed, NewEvent
from recorder.lanes import Lane
from recorder.store.log import Outcome, SqlLog
from recorder.store.spool import Segment
from recorder.writer import LogWriter
from tests.builders import as_new, new_event, output, plain_run, submit
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, files, missing_from, post, run_of

POISON = submit("poison")
AWAY = LogUnavailable("nobody answers")
RUN = run_of("r", submit("a"), POISON, submit("b"), output())


class PickyLog(WatchedLog):
    """A log with a bug that some frames bring out.

    Attributes:
        frames: Those frames.
        cut_after: The answer of the append after so many successful ones is lost.
    """

    frames: Sequence[bytes] = (POISON,)
    cut_after: int | None = None

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        if any(event.frame in self.frames for event in batch):
            raise ValueError("a bug")
        if len(self.batches) == self.cut_after:
            self.cut_after = None
            self.late_failures = [AWAY]
        return super().append(batch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def picky(log: SqlLog) -> PickyLog:
    return PickyLog(log)


@pytest.fixture
def writer(picky: PickyLog, folder: Path) -> Iterator[LogWriter]:
    writer = LogWriter(picky, spool=FlakySpool(folder))
    yield writer
    picky.release()
    assert writer.close()


def refused(folder: Path) -> list[NewEvent]:
    """What is kept for people to look at."""
    names = [name for name in files(folder) if name.endswith(".refused")]
    return [each.event for name in names for each in Segment(folder / name).read()]


def together(writer: LogWriter, picky: PickyLog, *runs: tuple[Lane, list[NewEvent]]) -> None:
    """Sends runs so that all of them, but for their `opened` events, go in at once."""
    for lane, run in runs:
        writer.submit(run[:1], lane=lane).result(WAIT_S)
    picky.hold()
    writer.submit(plain_run("busy", 1))
    picky.wait_for_append()
    for lane, run in runs:
        post(writer, lane, run[1:])
    picky.release()
    assert writer.flush(WAIT_S)


def test_a_gap_stands_in_for_an_event_the_log_fails_at_and_its_run_goes_on(
    writer: LogWriter, picky: PickyLog, log: SqlLog, folder: Path
) -> None:
    lane = Lane("r")
    together(writer, picky, (lane, RUN))
    assert missing_from(log, "r", RUN) == (1, len(POISON))
    assert [row.type for row in log.read_run("r")] == [
        "opened", "submit", "gap", "submit", "output", "closed",
    ]  # fmt: skip
    assert lane.broken is None
    assert refused(folder) == [RUN[2]]
    assert verify(log).intact


def test_its_neighbours_in_the_transaction_lose_nothing(
    writer: LogWriter, picky: PickyLog, log: SqlLog
) -> None:
    others = [run_of(name, submit("a"), output()) for name in "xyz"]
    lanes = [Lane(run[0].request_id) for run in others]
    runs = [*zip(lanes[:2], others[:2], strict=True), (Lane("r"), RUN), (lanes[2], others[2])]
    together(writer, picky, *runs)
    assert [as_new(log.read_run(name)) for name in "xyz"] == others
    assert [lane.broken for lane in lanes] == [None] * 3


def test_its_sender_is_told_why(writer: LogWriter, folder: Path) -> None:
    lane = Lane("r")
    sent = [writer.submit([event], lane=lane) for event in RUN]
    assert writer.flush(WAIT_S)
    assert [type(each.exception()) for each in sent] == [
        type(None), type(None), ValueError, type(None), type(None), type(None),
    ]  # fmt: skip
    addressed = [new_event("s", 0, POISON)]
    assert type(writer.submit(addressed).exception(WAIT_S)) is ValueError
    assert refused(folder) == [RUN[2], *addressed]


def test_events_sent_together_are_given_up_together(writer: LogWriter, log: SqlLog) -> None:
    lane = Lane("r")
    post(writer, lane, RUN[:1])
    writer.post(RUN[1:3], lane=lane)
    post(writer, lane, RUN[3:])
    assert writer.flush(WAIT_S)
    assert missing_from(log, "r", RUN) == (2, len(RUN[1].frame) + len(POISON))
    assert lane.broken is None


@pytest.mark.parametrize("at", [0, 5], ids=["opened", "closed"])
def test_a_run_that_cannot_begin_or_end_is_refused_from_there_on(
    writer: LogWriter, picky: PickyLog, log: SqlLog, folder: Path, at: int
) -> None:
    lane = Lane("r")
    picky.frames = [RUN[at].frame]
    post(writer, lane, RUN)
    assert writer.flush(WAIT_S)
    assert as_new(log.read_run("r")) == RUN[:at]
    assert type(lane.broken) is ValueError
    assert refused(folder) == RUN[at:]


def test_a_log_that_goes_away_meanwhile_is_sent_what_is_left_and_no_more(
    picky: PickyLog, log: SqlLog, folder: Path
) -> None:
    writer = SteppedWriter(picky, FlakySpool(folder))
    lane, other = Lane("r"), Lane("s")
    others = run_of("s", submit("a"), submit("b"))
    for first, run in ((lane, RUN), (other, others)):
        writer.submit(run[:1], lane=first).result(WAIT_S)
    picky.hold()
    writer.submit(plain_run("busy", 1))
    picky.wait_for_append()
    post(writer, lane, RUN[1:3])
    post(writer, other, others[1:])
    post(writer, lane, RUN[3:])
    # One by one: the first event of the run goes in, and so does the gap, but nobody hears of it.
    picky.cut_after = len(picky.batches) + 2
    picky.release()
    writer.wait_for_pause()
    writer.free()
    assert writer.flush(WAIT_S)
    assert missing_from(log, "r", RUN) == (1, len(POISON))
    assert as_new(log.read_run("s")) == others
    assert (lane.broken, other.broken) == (None, None)
    assert writer.close()


def test_a_fenced_recorder_stays_refused(writer: LogWriter, log: SqlLog, folder: Path) -> None:
    lane = Lane("r")
    run = run_of("r", submit("a"), submit("b"))
    writer.submit(run[:1], lane=lane).result(WAIT_S)
    log.append([new_event("r", 1, Closed(reason="recorder_lost"))])
    post(writer, lane, run[1:])
    assert writer.flush(WAIT_S)
    assert type(lane.broken) is SequenceConflict
    assert refused(folder) == run[1:]
