"""Percentiles with confidence intervals, and the interval of a change, without assuming a distribution.

- A percentile lies between two order statistics whose ranks follow from the binomial distribution: David
  and Nagaraja, "Order Statistics" (2003), section 7.1; Conover, "Practical Nonparametric Statistics" (1999),
  section 3.2. Where a sample has no such rank (the 99th percentile of 50 values has no upper limit), the
  interval is open on that side.
- The interval of the difference of two comes from the two intervals by MOVER: Zou and Donner,
  "Construction of confidence limits about effect measures" (Stat. Med. 27, 2008).
- Its p-value is the smallest of a ladder of levels at which the interval leaves out 0, so the 95 % interval
  leaves out 0 just where p is at most 0.05.

The values of a sample need not be independent: those of one run are not. A sample of n values is taken to
tell as much as `independent` of them (Kish, "Survey Sampling", 1965, section 8.2), and its ranks are chosen
for that many.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

Numbers = npt.NDArray[np.float64]

_Z_95: Final = float(stats.norm.isf(0.025))
_LADDER: Final[Numbers] = np.sort([*np.arange(0.1, 4, 0.1), *np.arange(4, 8.3, 0.25), _Z_95])
_ALPHAS: Final[Numbers] = 2 * stats.norm.sf(_LADDER)
_AT_95: Final = int(np.searchsorted(_LADDER, _Z_95))


class Sample(msgspec.Struct, frozen=True):
    """Values of one measure on one side.

    Attributes:
        values: Sorted, in microseconds.
        independent: How many independent values they are worth, at most as many as there are.
    """

    values: npt.NDArray[np.int64]
    independent: int

    def percentile(self, percentile: float) -> float:
        """Exact, interpolated linearly between neighbouring values; there has to be one."""
        place = (len(self.values) - 1) * percentile / 100
        below = math.floor(place)
        low, high = self.values[below], self.values[min(below + 1, len(self.values) - 1)]
        return round(float(low + (high - low) * (place - below)), 3)


class Interval(msgspec.Struct, frozen=True):
    """A change with its 95 % interval; a limit that cannot be told is None, as is p."""

    low: float | None
    high: float | None
    p_value: float | None


def change_of_percentile(a: Sample, b: Sample, percentile: float) -> Interval:
    """How b's percentile differs from a's."""
    at_a, at_b = a.percentile(percentile), b.percentile(percentile)
    low_a, high_a = _limits(a, percentile)
    low_b, high_b = _limits(b, percentile)
    change = at_b - at_a
    # Rounding and interpolation may put an estimate a hair outside its own limits.
    low = change - np.hypot(np.maximum(at_b - low_b, 0), np.maximum(high_a - at_a, 0))
    high = change + np.hypot(np.maximum(high_b - at_b, 0), np.maximum(at_a - low_a, 0))
    return Interval(_known(low[_AT_95]), _known(high[_AT_95]), _p_value(low, high))


def _limits(sample: Sample, percentile: float) -> tuple[Numbers, Numbers]:
    """Both limits at every level of the ladder; NaN where there is none."""
    lower, upper = _ranks(sample.independent, percentile)
    return _at(sample, lower), _at(sample, upper)


@lru_cache(maxsize=4096)
def _ranks(independent: int, percentile: float) -> tuple[Numbers, Numbers]:
    """The limits' places in a sorted sample, from 0 for its first value to 1 for its last."""
    share = percentile / 100
    lower = stats.binom.ppf(_ALPHAS / 2, independent, share)
    upper = stats.binom.isf(_ALPHAS / 2, independent, share) + 1
    last = max(1, independent - 1)
    return (
        np.where(lower >= 1, (lower - 1) / last, np.nan),
        np.where(upper <= independent, (upper - 1) / last, np.nan),
    )


def _at(sample: Sample, places: Numbers) -> Numbers:
    nearest = np.rint(np.nan_to_num(places) * (len(sample.values) - 1)).astype(np.int64)
    return np.where(np.isnan(places), np.nan, sample.values[nearest])


def _p_value(low: Numbers, high: Numbers) -> float | None:
    known = ~np.isnan(low) | ~np.isnan(high)
    if not known[_AT_95]:
        return None
    outside = np.flatnonzero((low > 0) | (high < 0))
    return float(_ALPHAS[outside[-1]]) if len(outside) else 1.0


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 3)


def change_of_rate(failed_a: int, of_a: int, failed_b: int, of_b: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two shares, from Wilson's interval of each.

    Newcombe, "Interval estimation for the difference between independent proportions" (Stat. Med. 17,
    1998), method 10.
    """
    a = stats.binomtest(failed_a, of_a).proportion_ci(method="wilson")
    b = stats.binomtest(failed_b, of_b).proportion_ci(method="wilson")
    at_a, at_b = failed_a / of_a, failed_b / of_b
    change = at_b - at_a
    low = change - math.hypot(at_b - b.low, a.high - at_a)
    return low, change + math.hypot(b.high - at_b, at_a - a.low)
