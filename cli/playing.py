"""Playing a recorded run on a terminal: when each event is due, and what time it is in the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from recorder.events import LoggedEvent
from recorder.replay import Pace


def in_rhythm(
    events: Iterable[LoggedEvent],
    pace: Pace,
    *,
    from_seq: int = 0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[LoggedEvent]:
    """Hands out a run's events from a seq on, each when it is due; those before are only looked at.

    Waits are counted from the beginning, so that they do not add up to more than the original's.
    """
    started_s, played_us, before_us = clock(), 0, 0
    for logged in events:
        if logged.seq >= from_seq:
            played_us += pace.wait_us(before_us, logged.elapsed_us)
            left_s = started_s + played_us / 1_000_000 - clock()
            if left_s > 0:
                sleep(left_s)
            yield logged
        before_us = logged.elapsed_us


class RunClock:
    """The time of a run that is being played, in seconds since it began.

    Args:
        speed: How fast its time goes by; None where it only jumps from event to event.
    """

    def __init__(self, speed: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed or 0.0
        self._clock = clock
        self._at_s = 0.0
        self._since_s = clock()

    def reach(self, elapsed_us: int) -> None:
        """The event of this time is being played."""
        self._at_s = elapsed_us / 1_000_000
        self._since_s = self._clock()

    def __call__(self) -> float:
        """What time it is."""
        return self._at_s + (self._clock() - self._since_s) * self._speed
