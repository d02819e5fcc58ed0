"""Where the level of a series of values changed for good.

1. Values become normal scores of their ranks (van der Waerden, 1952), so that neither heavy tails nor a
   cold start in a hundred decide. Where the series spans three days or more, each hour of the day is put
   to the same mean (aligned ranks: Hodges and Lehmann, Ann. Math. Stat. 33, 1962): a daily rhythm is no
   change.
2. At most 200 buckets of equally many values in a row are averaged. What their differences from one to the
   next, and to the one after three, tell of noise (the median absolute one) is the unit: bursts make it
   larger.
3. PELT (Killick, Fearnhead and Eckley, J. Am. Stat. Assoc. 107, 2012), as `ruptures.KernelCPD` with the
   linear kernel, proposes changes of the mean. A change costs 3 log(buckets), the penalty of the modified
   BIC (Zhang and Siegmund, Biometrics 63, 2007), and a level lasts a twentieth of the series at least.
4. Each is tested on the stretch from the change before it to the one after by Pettitt's test (Appl. Stat.
   28, 1979): Mann and Whitney's, at the worst of all places, so that choosing the place is paid for. Its
   p-value is that of `scipy.stats.kstwobign`. The weakest is given up until all that are left hold.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import ruptures
from scipy import stats

from analytics.comparing.evidence import ERROR_RATE
from analytics.comparing.intervals import Numbers

Moments = npt.NDArray[np.int64]

LEAST_VALUES: Final = 200
"""Of a shorter series nothing is said."""
MOST_BUCKETS: Final = 200
_LEAST_A_BUCKET: Final = 20
_LAGS: Final = (1, 3)
"""Between which buckets differences tell of noise: neighbours, and some that are not."""
_LEVEL_SHARE: Final = 20
_HOUR_US: Final = 3_600_000_000
_RHYTHM_FROM_US: Final = 3 * 24 * _HOUR_US


class Break(msgspec.Struct, frozen=True):
    """A change of level.

    Attributes:
        index: The place of the first value after it.
        start, end: The stretch it was tested on: from the change before it to the one after.
        p_value: Of no change anywhere in the stretch.
    """

    index: int
    start: int
    end: int
    p_value: float


def breaks(values: npt.NDArray[np.int64], at_us: Moments) -> list[Break]:
    """The changes of a series, each at the error rate for itself, in order.

    Args:
        values: At least `LEAST_VALUES`, in order of time.
        at_us: When each was measured.
    """
    scores = _scores(values, at_us)
    ends = _bucket_ends(len(values))
    buckets = _in_units_of_noise(scores, ends)
    found = _hold(buckets, _proposed(buckets))
    return [
        Break(
            index=_refined(scores, ends, previous, place, following),
            start=_first(ends, previous),
            end=_first(ends, following),
            p_value=p_value,
        )
        for previous, place, following, p_value in found
    ]


def _scores(values: npt.NDArray[np.int64], at_us: Moments) -> Numbers:
    scores: Numbers = stats.norm.ppf((stats.rankdata(values) - 0.5) / len(values))
    if at_us[-1] - at_us[0] < _RHYTHM_FROM_US:
        return scores
    hours = at_us // _HOUR_US % 24
    means = np.bincount(hours, scores, 24) / np.maximum(1, np.bincount(hours, minlength=24))
    aligned: Numbers = scores - means[hours]
    return aligned


def _bucket_ends(count: int) -> Moments:
    """The end of each bucket: a place in the series, the last one behind its end."""
    buckets = min(MOST_BUCKETS, count // _LEAST_A_BUCKET)
    return np.linspace(0, count, buckets + 1).astype(np.int64)[1:]


def _in_units_of_noise(scores: Numbers, ends: Moments) -> Numbers:
    starts = np.concatenate([[0], ends[:-1]])
    means: Numbers = np.add.reduceat(scores, starts) / (ends - starts)
    noise = max(_spread(means[lag:] - means[:-lag]) / 2**0.5 for lag in _LAGS)
    expected = scores.std() / (len(scores) / len(ends)) ** 0.5
    # Independent values are as noisy as expected; a series that looks calmer is so by chance.
    unit = max(noise, expected)
    scaled: Numbers = means / unit if unit > 0 else means * 0
    return scaled


def _spread(differences: Numbers) -> float:
    return float(stats.median_abs_deviation(differences, scale="normal"))


def _proposed(buckets: Numbers) -> list[int]:
    least = max(2, len(buckets) // _LEVEL_SHARE)
    search = ruptures.KernelCPD(kernel="linear", min_size=least).fit(buckets[:, None])
    return [int(place) for place in search.predict(pen=3 * np.log(len(buckets)))[:-1]]


def _hold(buckets: Numbers, places: list[int]) -> list[tuple[int, int, int, float]]:
    """The places that hold, with the ones before and after and their p-values."""
    while places:
        bounds = [0, *places, len(buckets)]
        tested = [
            (start, place, end, _p_value(buckets[start:end]))
            for start, place, end in zip(bounds, places, bounds[2:], strict=False)
        ]
        weakest = max(tested, key=lambda each: each[3])
        if weakest[3] <= ERROR_RATE:
            return tested
        places = [place for place in places if place != weakest[1]]
    return []


def _p_value(stretch: Numbers) -> float:
    away = float(np.abs(np.cumsum(stretch - stretch.mean())).max())
    return float(stats.kstwobign.sf(away / len(stretch) ** 0.5))


def _first(ends: Moments, bucket: int) -> int:
    """The place of a bucket's first value."""
    return 0 if bucket == 0 else int(ends[bucket - 1])


def _refined(scores: Numbers, ends: Moments, start: int, place: int, end: int) -> int:
    """The value the level changes at, within a bucket of the place that was found."""
    first = _first(ends, start)
    stretch = scores[first : _first(ends, end)]
    away = np.abs(np.cumsum(stretch - stretch.mean()))
    low = _first(ends, max(start, place - 1)) - first
    high = _first(ends, min(end, place + 1)) - first
    return first + low + int(away[low : high - 1].argmax()) + 1
