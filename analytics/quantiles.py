"""Percentiles of groups of values, each with a confidence interval that assumes no distribution.

The percentile of a group is exact, interpolated linearly between neighbours (Hyndman and Fan's
definition 7, which numpy, pandas and DuckDB's `quantile_cont` use too). Its interval runs between two
of the group's own values, picked by rank: the number of values below the true percentile is binomial,
so the ranks are quantiles of that distribution (W. J. Conover, Practical Nonparametric Statistics, 3rd
ed., section 3.2; David and Nagaraja, Order Statistics, 3rd ed., section 7.1). The true percentile lies
within with at least the confidence asked for, whatever the distribution of independent values is. A
group too small for a bound at that confidence has none on that side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_WHOLE_US: Final = 3
"""Interpolation in binary leaves 760.0000000000001 of what is 760, so nanoseconds are the last digit."""


class Values(NamedTuple):
    """Values of groups.

    Attributes:
        flat: Those of a group after those of another, of one group in any order.
        starts: Where each group's begin, and where the last one's end.
    """

    flat: Ints
    starts: Ints


def ranks(count: Ints, share: float, confidence: float) -> tuple[Ints, Ints]:
    """The ranks, from 1, of the values between which a quantile lies.

    Args:
        count: How many values there are, one number a group.
        share: Which quantile, above 0 and below 1.
        confidence: The least probability that it lies between them.

    Returns:
        Lower and upper rank of each group; 0, or one more than there are values, where no value is
        low or high enough.
    """
    [lower], [upper] = _all_ranks(count, [share], confidence)
    return lower, upper


def _all_ranks(count: Ints, shares: Sequence[float], confidence: float) -> tuple[Ints, Ints]:
    """The same for several quantiles at once, a row each: what a call of scipy costs is mostly the call."""
    from scipy.stats import binom  # takes most of a second to load

    missed = (1 - confidence) / 2
    sizes, where = np.unique(count, return_inverse=True)
    each = np.reshape(np.asarray(shares), (-1, 1))
    lower = binom.ppf(missed, sizes, each)
    upper = binom.ppf(1 - missed, sizes, each) + 1
    lower[:, sizes == 0], upper[:, sizes == 0] = 0, 1
    return lower.astype(np.int64)[:, where], upper.astype(np.int64)[:, where]


def percentile_rows(
    groups: pa.Table, values: str, percentiles: Sequence[float], confidence: float
) -> pa.Table:
    """A row for each group and percentile.

    Args:
        groups: A row a group, with a column of the group's values: lists of whole microseconds
            without NULL, in any order; NULL for no values.
        values: The name of that column.
        percentiles: Above 0, below 100.
        confidence: Of the intervals.

    Returns:
        The other columns, and `n`, `mean_us`, `max_us`, `percentile`, `value_us`, `low_us`, `high_us`,
        NULL where there is nothing to tell. Groups stay in order, percentiles in the order given.
    """
    told_apart, known = groups.drop_columns([values]), values_of_lists(groups, values)
    return rows_of_values(told_apart, known, percentiles, confidence)


def values_of_lists(groups: pa.Table, column: str) -> Values:
    """The values of a column of lists, a list a group; NULL for no values."""
    lists = groups.column(column).combine_chunks()
    return Values(np.array(lists.values.to_numpy()), lists.offsets.to_numpy().astype(np.int64))


def rows_of_values(
    groups: pa.Table, values: Values, percentiles: Sequence[float], confidence: float
) -> pa.Table:
    """The same for values that are at hand, which are put into order in place."""
    flat, starts = values
    count = np.diff(starts)
    _sort(flat, starts)
    shares = [percent / 100 for percent in percentiles]
    bounds = zip(*_all_ranks(count, shares, confidence), strict=True)
    known = [_values(flat, starts, share, each) for share, each in zip(shares, bounds, strict=True)]
    filled = {"n": count, **_mean_and_max(flat, starts)}
    return _interleaved(groups, filled, percentiles, known)


def _sort(flat: Ints, starts: Ints) -> None:
    """Sorts each group; where processors have the instructions for it that is quicker than selecting ranks."""
    bounds = starts.tolist()
    threads = os.cpu_count() or 1

    def every(first: int) -> None:
        for begin, end in zip(bounds[first:-1:threads], bounds[first + 1 :: threads], strict=True):
            flat[begin:end].sort()

    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the lock meanwhile
        list(pool.map(every, range(threads)))


def _values(
    ordered: Ints, starts: Ints, share: float, bounds: tuple[Ints, Ints]
) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Of each group a quantile, and the values of two ranks from 1."""
    begin, count = starts[:-1], np.diff(starts)
    low, high, last = bounds[0] - 1, bounds[1] - 1, count - 1
    place = last * share
    below = np.floor(place).astype(np.int64)
    between = place - below

    def at(rank: Ints) -> NDArray[np.float64]:
        if not len(ordered):
            return np.zeros(len(rank))
        place = begin + np.clip(rank, 0, np.maximum(count - 1, 0))
        return ordered[np.minimum(place, len(ordered) - 1)].astype(np.float64)

    first = at(below)
    value = np.round(first + (at(np.minimum(below + 1, last)) - first) * between, _WHOLE_US)
    return (
        pa.array(value, mask=count == 0),
        pa.array(at(low).astype(np.int64), mask=(low < 0) | (count == 0)),
        pa.array(at(high).astype(np.int64), mask=high >= count),
    )


def _mean_and_max(ordered: Ints, starts: Ints) -> dict[str, pa.Array]:
    count = np.diff(starts)
    none = count == 0
    if not len(ordered):
        empty = np.zeros(len(count))
        return {
            "mean_us": pa.array(empty, mask=none),
            "max_us": pa.array(empty.astype("i8"), mask=none),
        }
    total, largest = np.zeros(len(count)), np.zeros(len(count), np.int64)
    total[~none] = np.add.reduceat(ordered, starts[:-1][~none])
    largest[~none] = ordered[starts[1:][~none] - 1]
    mean = np.round(total / np.maximum(count, 1), _WHOLE_US)
    return {"mean_us": pa.array(mean, mask=none), "max_us": pa.array(largest, mask=none)}


def _interleaved(
    groups: pa.Table,
    filled: dict[str, Any],
    percentiles: Sequence[float],
    known: list[tuple[pa.Array, pa.Array, pa.Array]],
) -> pa.Table:
    for name, column in filled.items():
        groups = groups.append_column(name, pa.array(column))
    parts = []
    for percent, (value, low, high) in zip(percentiles, known, strict=True):
        part = groups.append_column("percentile", pa.array([float(percent)] * len(value)))
        part = part.append_column("value_us", value)
        parts.append(part.append_column("low_us", low).append_column("high_us", high))
    row = np.arange(len(percentiles) * groups.num_rows).reshape(len(percentiles), groups.num_rows)
    return pa.concat_tables(parts).take(pa.array(row.T.ravel()))
