"""Sweeps over intervals of time: how many are under way, exactly, at any moment.

An interval holds its first microsecond and not its last, so what ends when another begins is not under
way together with it. How many are under way is how many have begun less how many have ended: two sorted
arrays tell. numpy sorts and searches them on all cores, in a fifth of the time that DuckDB's windows and ASOF
joins over the same numbers take (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Groups = NDArray[np.int32]
Floats = NDArray[np.float64]

_AT_A_TIME = 1_000_000
"""Passes that would make a copy of everything are made over so many entries."""


def levels(begins: Ints, ends: Ints, edges: Ints) -> tuple[Ints, Floats]:
    """How many intervals are under way between each two neighbouring edges.

    Args:
        begins: When each begins, whole microseconds. Sorted in place.
        ends: When each ends, not before it begins, in any order. Sorted in place.
        edges: Ascending moments, at least two.

    Returns:
        For each stretch between neighbouring edges, the most that are under way at a time, and the mean
        weighted by time.
    """
    _side_by_side(np.ndarray.sort, (begins, ends))
    begun, ended = np.searchsorted(begins, edges), np.searchsorted(ends, edges, "right")
    at_edges = begun - ended  # before what begins there
    reached = _reached(begins[: begun[-1]], ends)
    highest = np.maximum(at_edges[:-1], _reduced(np.maximum, reached, begun, lowest=0))
    length = np.diff(edges)
    # The sums may go round 2**64, and come back: what is left fits.
    area = at_edges[:-1] * length
    area += np.diff(begun) * edges[1:] - _reduced(np.add, begins, begun, lowest=0)
    area -= np.diff(ended) * edges[1:] - _reduced(np.add, ends, ended, lowest=0)
    return highest.astype(np.int64), area / length


def _reached(begins: Ints, ends: Ints) -> NDArray[np.int32]:
    """How many are under way once each has begun, of those that begin together once the last has."""
    reached = np.arange(1, len(begins) + 1, dtype=np.int32)
    reached -= _passed(ends, begins)
    return reached


def _reduced(how: np.ufunc, values: Any, bounds: Ints, *, lowest: int) -> Any:
    """The values between each two neighbouring bounds reduced to one; `lowest` where there are none."""
    found = np.full(len(bounds) - 1, lowest, values.dtype)
    some = bounds[:-1] < bounds[1:]
    if some.any():
        found[some] = how.reduceat(values[: bounds[-1]], bounds[:-1][some])
    return found


def under_way(groups: Groups, at: Ints, begins: Ints, ends: Ints, of: Groups) -> NDArray[np.int32]:
    """How many intervals of its group are under way at each moment.

    Args:
        groups: The group of each moment, from 0.
        at: The moments.
        begins: When each interval begins. Written over, for each copy of ten million takes 80 MB.
        ends: When it ends. Written over as well.
        of: The group of each interval, from 0.
    """
    if not len(at) or not len(begins):
        return np.zeros(len(at), np.int32)
    first = int(min(at.min(), begins.min()))
    span = int(max(at.max(), ends.max()) - first) + 1
    if (int(max(groups.max(), of.max())) + 1) * span >= 2**63:
        return _group_by_group(groups, at, begins, ends, of)
    # Groups are laid out one after the other on one line; what lies before is over in full.
    moments = at.copy()
    for which, times in ((groups, moments), (of, begins), (of, ends)):
        _put_on_one_line(which, times, first, span)
    return _between(begins, ends, moments)


def _put_on_one_line(groups: Groups, times: Ints, first: int, span: int) -> None:
    for start in range(0, len(times), _AT_A_TIME):
        some = slice(start, start + _AT_A_TIME)
        times[some] += groups[some].astype(np.int64) * span - first


def _group_by_group(
    groups: Groups, at: Ints, begins: Ints, ends: Ints, of: Groups
) -> NDArray[np.int32]:
    found = np.zeros(len(at), np.int32)
    for group in np.unique(groups):
        mine, theirs = groups == group, of == group
        found[mine] = _between(begins[theirs], ends[theirs], at[mine])
    return found


def _between(begins: Ints, ends: Ints, at: Ints) -> NDArray[np.int32]:
    """How many have begun and not ended at each moment. Sorts begins and ends in place."""
    _side_by_side(np.ndarray.sort, (begins, ends))
    found = _passed(begins, at)
    found -= _passed(ends, at)
    return found


def _passed(times: Ints, at: Ints) -> NDArray[np.int32]:
    """How many of the sorted times have come at each moment."""
    found = np.empty(len(at), np.int32)

    def look(start: int) -> None:
        some = slice(start, start + _AT_A_TIME)
        found[some] = np.searchsorted(times, at[some], "right")

    _side_by_side(look, range(0, len(at), _AT_A_TIME))
    return found


def _side_by_side(work: Callable[[Any], object], of: Iterable[Any]) -> None:
    """On all cores, for numpy lets go of the lock meanwhile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, of))
