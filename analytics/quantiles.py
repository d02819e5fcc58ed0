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
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SMALL: Final = 2_000
"""A group of up to so many values is sorted; a selection within it would take longer to set up."""
_WHOLE_US: Final = 3
"""Interpolation in binary leaves 760.0000000000001 of what is 760, so nanoseconds are the last digit."""


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
    from scipy.stats import binom  # takes most of a second to load

    missed = (1 - confidence) / 2
    sizes, where = np.unique(count, return_inverse=True)
    lower = binom.ppf(missed, sizes, share)
    upper = binom.ppf(1 - missed, sizes, share) + 1
    lower[sizes == 0], upper[sizes == 0] = 0, 1
    return lower.astype(np.int64)[where], upper.astype(np.int64)[where]


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
    column = groups.column(values).combine_chunks()
    flat = column.values.to_numpy()
    starts = column.offsets.to_numpy().astype(np.int64)
    count = np.diff(starts)
    told = [_ranks_of(count, percent / 100, confidence) for percent in percentiles]
    picked = _arranged(flat, starts, np.stack([rank for each in told for rank in each[:4]]))
    known = [_values(picked, starts[:-1], count, each) for each in told]
    filled = {"n": count, **_mean_and_max(flat, starts)}
    return _interleaved(groups.drop_columns([values]), filled, percentiles, known)


def _ranks_of(count: Ints, share: float, confidence: float) -> tuple[Any, ...]:
    """Per group: the ranks from 0 of the neighbours and the bounds, and how far between the neighbours."""
    place = (count - 1) * share
    below = np.floor(place).astype(np.int64)
    low, high = ranks(count, share, confidence)
    last = count - 1
    return np.clip(below, 0, None), np.clip(below + 1, None, last), low - 1, high - 1, place - below


def _arranged(flat: Ints, starts: Ints, wanted: Ints) -> Ints:
    """The values, rearranged within each group so that those of the wanted ranks are in their places."""
    arranged = np.array(flat)
    count = np.diff(starts)

    def select(group: int) -> None:
        inside = np.unique(wanted[:, group])
        inside = inside[(inside >= 0) & (inside < count[group])]
        arranged[starts[group] : starts[group + 1]].partition(inside)

    bounds = starts.tolist()
    for group in np.flatnonzero((count > 1) & (count <= _SMALL)).tolist():
        arranged[bounds[group] : bounds[group + 1]].sort()
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets go of the lock meanwhile
        list(pool.map(select, np.flatnonzero(count > _SMALL).tolist()))
    return arranged


def _values(
    arranged: Ints, begin: Ints, count: Ints, told: tuple[Any, ...]
) -> tuple[pa.Array, pa.Array, pa.Array]:
    below, above, low, high, between = told

    def at(rank: Ints) -> NDArray[np.float64]:
        if not len(arranged):
            return np.zeros(len(rank))
        place = begin + np.clip(rank, 0, np.maximum(count - 1, 0))
        return arranged[np.minimum(place, len(arranged) - 1)].astype(np.float64)

    first = at(below)
    value = np.round(first + (at(np.maximum(above, below)) - first) * between, _WHOLE_US)
    return (
        pa.array(value, mask=count == 0),
        pa.array(at(low).astype(np.int64), mask=(low < 0) | (count == 0)),
        pa.array(at(high).astype(np.int64), mask=high >= count),
    )


def _mean_and_max(flat: Ints, starts: Ints) -> dict[str, pa.Array]:
    count = np.diff(starts)
    none = count == 0
    if not len(flat):
        empty = np.zeros(len(count))
        return {
            "mean_us": pa.array(empty, mask=none),
            "max_us": pa.array(empty.astype("i8"), mask=none),
        }
    some = starts[:-1][~none]
    total, largest = np.zeros(len(count)), np.zeros(len(count), np.int64)
    total[~none] = np.add.reduceat(flat, some)
    largest[~none] = np.maximum.reduceat(flat, some)
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
