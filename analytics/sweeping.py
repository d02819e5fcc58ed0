"""Sweeps over intervals of time: how many are under way, exactly, at any moment.

An interval holds its first microsecond and not its last, so what ends when another begins is not under
way together with it. Sorting whole numbers in numpy takes a tenth of what a window function over the
same edges does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_END, _EDGE, _BEGIN = 0, 1, 2
"""What happens at the same moment happens in this order."""


def levels(begins: Ints, ends: Ints, edges: Ints) -> tuple[Ints, Floats]:
    """How many intervals are under way between each two neighbouring edges.

    Args:
        begins: When each interval begins.
        ends: When it ends; not before it begins. In any order of their own.
        edges: Ascending, at least two.

    Returns:
        For each stretch between neighbouring edges, the most that are under way at a time, and the mean
        weighted by time.
    """
    happens = np.concatenate([ends * 4 + _END, edges * 4 + _EDGE, begins * 4 + _BEGIN])
    happens.sort()
    kind = (happens & 3).astype(np.int8)
    places = np.flatnonzero(kind == _EDGE)
    level = np.cumsum(kind - np.int8(_EDGE), dtype=np.int32)
    del kind
    happens >>= 2
    highest = np.maximum.reduceat(level[: places[-1]], places[:-1])
    passed = np.diff(happens[: places[-1] + 1])
    passed *= level[: places[-1]]
    area = np.add.reduceat(passed, places[:-1])
    return highest.astype(np.int64), area / np.diff(edges)


def others_under_way(groups: Ints, at: Ints, begins: Ints, ends: Ints, of: Ints) -> Ints:
    """How many intervals of its group are under way at each moment.

    Args:
        groups: The group of each moment, from 0.
        at: The moments.
        begins: When each interval begins.
        ends: When it ends.
        of: The group of each interval, from 0.
    """
    if not len(at) or not len(begins):
        return np.zeros(len(at), np.int64)
    first = min(at.min(), begins.min())
    span = int(max(at.max(), ends.max()) - first) + 1
    if (int(max(groups.max(), of.max())) + 1) * span >= 2**63:
        return _group_by_group(groups, at, begins, ends, of)
    # Groups are laid out one after the other on one line; what lies before is over in full.
    begun, ended = np.sort(of * span + (begins - first)), np.sort(of * span + (ends - first))
    moments = groups * span + (at - first)
    return np.searchsorted(begun, moments, "right") - np.searchsorted(ended, moments, "right")


def _group_by_group(groups: Ints, at: Ints, begins: Ints, ends: Ints, of: Ints) -> Ints:
    found = np.zeros(len(at), np.int64)
    for group in np.unique(groups):
        mine, theirs = groups == group, of == group
        begun, ended = np.sort(begins[theirs]), np.sort(ends[theirs])
        found[mine] = np.searchsorted(begun, at[mine], "right")
        found[mine] -= np.searchsorted(ended, at[mine], "right")
    return found
