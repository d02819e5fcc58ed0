"""Random schedules of outages, full disks and restarts: nothing is missing but what gaps count."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder import backlog, inbox
from recorder.audit import verify
from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.lanes import Lane
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.spool import segments
from tests.builders import submit
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, missing_from, post, run_of
from tests.trust.soak import SOAK, rounds

AWAY = LogUnavailable("nobody answers")
ACTIONS = [*["send"] * 8, "away", "away", "back", "full", "full", "room", "step", "restart"]


class World:
    """A log, a spool folder and one recorder process after the other."""

    def __init__(self, log: SqlLog, folder: Path) -> None:
        self.log = log
        self.watched = WatchedLog(log)
        self.folder = folder
        self.sent: list[tuple[Lane, list[NewEvent]]] = []
        self._left: dict[int, tuple[Lane, list[NewEvent]]] = {}
        self.start()

    def start(self) -> None:
        """A new process; it takes over what the one before has left."""
        self.spool = FlakySpool(self.folder)
        self._parked = False
        has_work = bool(segments(self.folder))
        self.writer = SteppedWriter(self.watched, self.spool)
        self._park(has_work)

    def _park(self, has_work: bool) -> None:
        if has_work and self.watched.away and not self._parked:
            self.writer.wait_for_pause()
            self._parked = True

    def do(self, action: str, number: int) -> None:
        match action:
            case "send":
                self.send(number)
            case "away":
                self.watched.away = AWAY
            case "back":
                self.back()
            case "full" | "room":
                self.spool.full = action == "full"
            case "step" if self._parked:
                self.writer.step()
            case "restart":
                self.restart()

    def send(self, number: int) -> None:
        """One more event of a run; the first one begins it, the last one ends it."""
        if number not in self._left:
            name = f"run-{uuid.uuid4()}"
            self._left[number] = Lane(name), run_of(name, *map(submit, "abcdefghijkl"))
            lane, run = self._left[number]
            self.sent.append((lane, []))
        lane, run = self._left[number]
        event = run.pop(0)
        next(events for known, events in self.sent if known is lane).append(event)
        if not run:
            del self._left[number]
        post(self.writer, lane, [event])
        self._park(True)
        if not self.watched.away:
            assert self.writer.flush(WAIT_S)

    def back(self) -> None:
        self.watched.away = None
        if self._parked:
            self.writer.go_on()
            self._parked = False
        assert self.writer.flush(WAIT_S)

    def restart(self) -> None:
        """The process ends in good order; what it holds in memory finds room on the disk."""
        self.spool.full = False
        self.writer.free()
        self.writer.close(timeout_s=0)
        self._left.clear()
        self.start()

    def end(self) -> None:
        self.spool.full = False
        self.back()
        self.writer.free()
        assert self.writer.close()


def check(world: World) -> int:
    """The events that were given up; all others are in the log."""
    given_up = 0
    for lane, sent in world.sent:
        lost, _ = missing_from(world.log, lane.request_id, sent)
        assert lane.broken is None
        given_up += lost
    assert segments(world.folder) == []
    assert verify(world.log).intact
    return given_up


schedules = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2)), min_size=20, max_size=70
)


@pytest.mark.parametrize(
    ("held_bytes", "queued_bytes"),
    [(backlog.MAX_HELD_BYTES, inbox.MAX_QUEUED_BYTES), (1_500, inbox.MAX_QUEUED_BYTES), (0, 700)],
    ids=["room in memory", "little room in memory", "hardly any room at all"],
)
def test_after_any_schedule_the_log_holds_what_was_sent_but_what_its_gaps_count(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, held_bytes: int, queued_bytes: int
) -> None:
    monkeypatch.setattr(backlog, "MAX_HELD_BYTES", held_bytes)
    monkeypatch.setattr(inbox, "MAX_QUEUED_BYTES", queued_bytes)
    database = connect(sqlite_url)
    given_up = 0

    @settings(
        max_examples=rounds(60, 500),
        deadline=None,
        derandomize=not SOAK,
        suppress_health_check=list(HealthCheck),
    )
    @given(schedules)
    def run(schedule: list[tuple[str, int]]) -> None:
        nonlocal given_up
        with tempfile.TemporaryDirectory() as folder:
            world = World(SqlLog(database), Path(folder))
            try:
                for action, number in schedule:
                    world.do(action, number)
            finally:
                world.end()
            given_up += check(world)

    run()
    database.close()
    assert (given_up > 0) == (held_bytes < 10_000)
