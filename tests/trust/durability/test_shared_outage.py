"""The database is away for longer than a lease: nobody can beat, and nobody has died."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from recorder.bootstrap import Recorder
from recorder.errors import LogUnavailable
from recorder.lease import LEASE_S, Watch
from recorder.store.log import SqlLog
from recorder.store.spool import Spool, SpooledEvent
from tests.builders import as_new, history, new_event, opened, plain_run, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S

LEASE_US = round(LEASE_S * 1_000_000)


def test_recorders_silent_because_the_database_was_away_keep_their_runs(
    rec: Recorder, tmp_path: Path
) -> None:
    other, clock = SqlLog(rec.database, instance="other"), ManualClock()
    document = opened("r", recorder="other")
    run = history("r", submit("a"), document=document, reason=None)
    other.append(run)
    away: list[Exception] = []

    def be_away() -> None:
        if away:
            raise away.pop()

    watch = Watch(rec.database, rec.log, clock=clock, adopt=be_away)
    watch.look()
    clock.advance(LEASE_US)
    away.append(LogUnavailable("away"))
    with pytest.raises(LogUnavailable):
        watch.look()
    watch.look()  # the first to be back; the other has had no chance to beat yet
    assert as_new(rec.log.read()) == run
    clock.advance(LEASE_US)
    watch.look()
    assert [row.type for row in rec.log.read()] == ["opened", "submit", "closed"]


def test_a_living_recorder_appends_what_a_dead_one_left_before_it_closes_its_runs(
    rec: Recorder,
) -> None:
    assert rec.writer.flush(WAIT_S)
    run = plain_run("r", 3)
    spool = Spool(rec.spool_folder, str(uuid.uuid4()))
    spool.write(1, [SpooledEvent(None, True, event.seq, event) for event in run])
    spool.close()
    rec.watch.look()
    assert rec.writer.submit([new_event("afterwards", 0, submit("a"))]).result(WAIT_S)
    assert rec.writer.flush(WAIT_S)
    assert as_new(rec.log.read_run("r")) == run
