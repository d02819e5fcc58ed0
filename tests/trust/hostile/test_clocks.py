"""Clocks: a wall clock that jumps moves no duration and no event."""

from __future__ import annotations

from recorder.bootstrap import Recorder
from recorder.recording import Recording
from tests.builders import completion, opened, output, submit
from tests.clocks import NOVEMBER_2023_US, ManualClock

DAY_US = 24 * 3600 * 1_000_000
SECOND_US = 1_000_000
JUMPS_US = [DAY_US, -DAY_US, -NOVEMBER_2023_US, 3 * DAY_US, -2 * DAY_US]


def test_a_wall_clock_that_jumps_by_days_changes_no_duration(rec: Recorder) -> None:
    clock = ManualClock()
    recording = Recording(rec.writer, clock=clock)
    recording.open(opened("run-1"))
    frames = [submit("a"), submit("b"), completion("b"), completion("a"), output()]
    walls = [NOVEMBER_2023_US]
    for jump_us, raw in zip(JUMPS_US, frames, strict=True):
        clock.advance(SECOND_US)
        clock.set_wall(NOVEMBER_2023_US + jump_us)
        walls.append(NOVEMBER_2023_US + jump_us)
        recording.feed(raw)
    clock.advance(SECOND_US)
    recording.close("eof")
    recording.wait()
    events = list(rec.events("run-1"))
    run = rec.run("run-1")
    assert [event.seq for event in events] == list(range(7))
    assert [event.elapsed_us for event in events] == [n * SECOND_US for n in range(7)]
    assert [event.received_at for event in events] == [*walls, walls[-1] + SECOND_US]
    assert (run.status, run.opened_at, run.duration_us, run.first_event_us, run.anomalies) == (
        "completed",
        NOVEMBER_2023_US,
        6 * SECOND_US,
        SECOND_US,
        {},
    )
    assert [
        (step.node_id, step.submitted_us, step.duration_us) for step in run.ordered_steps()
    ] == [
        ("a", SECOND_US, 3 * SECOND_US),
        ("b", 2 * SECOND_US, SECOND_US),
    ]
    assert rec.rebuild().differences == 0
    assert rec.verify().intact
