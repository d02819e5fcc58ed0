"""When the events of a replay are due, and what time it is in the run."""

from __future__ import annotations

import pytest

from cli.playing import RunClock, in_rhythm
from recorder.events import LoggedEvent
from recorder.replay import Pace
from tests.builders import logged, new_event, submit


class Clock:
    """A clock that only sleeping, and work, moves."""

    def __init__(self, work_s: float = 0.0) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self._work_s = work_s

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def work(self) -> None:
        self.now += self._work_s


def run(*elapsed_s: float) -> list[LoggedEvent]:
    return logged(
        new_event("run", seq, submit("a"), elapsed_us=round(at * 1_000_000))
        for seq, at in enumerate(elapsed_s)
    )


@pytest.mark.parametrize(
    ("pace", "from_seq", "slept"),
    [
        (Pace(), 0, [0.5, 1.5, 10.0]),
        (Pace(speed=2), 0, [0.25, 0.75, 5.0]),
        (Pace(speed=None), 0, []),
        (Pace(max_gap_us=1_000_000), 0, [0.5, 1.0, 1.0]),
        (Pace(), 2, [1.5, 10.0]),
    ],
)
def test_each_event_is_played_when_it_is_due(pace: Pace, from_seq: int, slept: list[float]) -> None:
    clock = Clock()
    events = run(0.5, 0.5, 2.0, 12.0)
    played = list(in_rhythm(events, pace, from_seq=from_seq, clock=clock, sleep=clock.sleep))
    assert (played, clock.slept) == (events[from_seq:], slept)


def test_what_showing_an_event_takes_does_not_add_up() -> None:
    clock = Clock(work_s=0.3)
    for _ in in_rhythm(run(1, 2, 2.1, 3), Pace(), clock=clock, sleep=clock.sleep):
        clock.work()
    assert clock.slept == [1.0, 0.7, 0.4]
    assert round(clock.now, 6) == 103.3


@pytest.mark.parametrize(("speed", "later"), [(1.0, 3.5), (4.0, 8.0), (None, 2.0)])
def test_the_time_of_the_run_goes_by_at_the_speed_of_the_replay(
    speed: float | None, later: float
) -> None:
    clock = Clock()
    time = RunClock(speed, clock)
    assert time() == 0.0
    time.reach(2_000_000)
    clock.now += 1.5
    assert time() == later
