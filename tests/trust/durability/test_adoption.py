"""What a dead process left in its spool, taken over by another."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.store.log import Receipt, SqlLog
from recorder.store.spool import Spool, SpooledEvent
from recorder.writer import LogWriter
from tests.builders import as_new, history, new_event, opened, submit
from tests.logs import WAIT_S

MINE = "my recording"


def leave(folder: Path, *spooled: SpooledEvent) -> None:
    """Leaves a segment as a process that is gone now would have."""
    spool = Spool(folder, str(uuid.uuid4()))
    spool.write(1, spooled)
    spool.close()


def adopt(log: SqlLog, folder: Path) -> None:
    writer = LogWriter(log, spool=Spool(folder, log.instance))
    assert writer.flush(WAIT_S)
    assert writer.close()


def follower(request_id: str) -> SpooledEvent:
    """An event spooled before its run's id was settled, and the `opened` event is gone."""
    return SpooledEvent(MINE, False, 1, new_event(request_id, 1, submit("mine")))


@pytest.mark.parametrize("mine", ["r", "r~2", "r~3"])
def test_a_follower_finds_the_run_its_recording_has_opened(
    log: SqlLog, tmp_path: Path, mine: str
) -> None:
    ids = ["r", "r~2", "r~3"]
    for request_id in ids:
        recording = MINE if request_id == mine else f"another for {request_id}"
        [outcome] = log.append([new_event(request_id, 0, opened("r", recording=recording))])
        assert isinstance(outcome, Receipt)
    leave(tmp_path, follower("r"))
    adopt(log, tmp_path)
    assert as_new(log.read(len(ids))) == [new_event(mine, 1, submit("mine"))]
    assert verify(log).intact
    assert list(tmp_path.glob("*.spool")) == []


def test_a_follower_whose_run_nobody_opened_is_kept_for_people_to_look_at(
    log: SqlLog, tmp_path: Path
) -> None:
    others = history("r", submit("a"), reason=None)
    log.append(others)
    leave(tmp_path, follower("r"))
    adopt(log, tmp_path)
    assert as_new(log.read()) == others
    assert len(list(tmp_path.glob("*.refused"))) == 1
