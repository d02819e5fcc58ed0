"""When runs begin: by day and by night, on workdays and at weekends."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US

_THURSDAY: Final = 3
"""1970 began on one; Monday is 0."""

_WORKDAY: Final = 1.2
_WEEKEND: Final = 0.5
_SWING: Final = 0.75
_BUSIEST_HOUR: Final = 15
_PEAK: Final = _WORKDAY * (1 + _SWING)


def load_at(at_us: int) -> float:
    """The load at a moment (microseconds since 1970, UTC), its mean over a week being 1."""
    days, within = divmod(at_us, DAY_US)
    weekend = (days + _THURSDAY) % 7 >= 5
    turn = 2 * math.pi * (within / HOUR_US - _BUSIEST_HOUR) / 24
    return (_WEEKEND if weekend else _WORKDAY) * (1 + _SWING * math.cos(turn))


def arrivals(
    random_: random.Random, since_us: int, until_us: int, runs_per_day: float
) -> Iterator[int]:
    """The moments runs begin, in order: a Poisson process that follows the load.

    By thinning (Lewis and Shedler, 1979): candidates come at the peak's rate, and each is kept with
    the probability that the load at its moment is of the peak.
    """
    mean_us = DAY_US / (runs_per_day * _PEAK)
    at_us = float(since_us)
    while (at_us := at_us + random_.expovariate(1) * mean_us) < until_us:
        if random_.random() * _PEAK < load_at(int(at_us)):
            yield int(at_us)
