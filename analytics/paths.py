"""Critical paths: which steps of a run decided when it ended, and what a faster one would change.

A step waits for the steps of its node's ancestors in the definition's graph. Where there is no graph, it
is taken to wait for every step that had finished when it was submitted. A step that was submitted before
one it should have waited for finished did not wait for it. Between the last of those and its submit lies
the step's gap, counted from the run's beginning where it waits for none.

The critical path leads back from the step that finished last to the last it waited for, and so on
(J. E. Kelley and M. R. Walker, Critical-Path Planning and Scheduling, 1959). What a node halved saves is
recomputed along the graph: every step keeps its gap, the node's steps take half as long, and what waits
for them begins earlier, up to where another path becomes the longest.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.int32]
Times = NDArray[np.int32] | NDArray[np.int64]
"""Microseconds since a run began; in 32 bits where no step of a batch ends after 35 minutes, at half the time."""

MAX_STEPS = 400
"""A run of more steps is left out: the work grows with their third power."""

_IN_32_BITS = 2**31

_CELLS = 200_000
"""Runs are worked on so many at a time that arrays of (steps, steps, runs) have no more cells: they stay in the
processor's cache then, which takes a fifth to a third off."""


class Waits(msgspec.Struct, frozen=True):
    """Who may wait for whom.

    Attributes:
        graph: For every node, the number of its definition's graph, from 0; -1 where it is in none.
        place: For every node, its place in that graph's matrix.
        allowed: For every graph, whether the node of the second place waits for that of the first.
    """

    graph: Ints
    place: Ints
    allowed: list[Bools]


class Steps(msgspec.Struct, frozen=True):
    """Steps, those of a run together; times in microseconds since the run began, -1 where unknown.

    Nodes are numbered in the order of their ids, which is what sets apart steps of the same times.
    """

    run: Ints
    node: Numbers
    submitted_us: Ints
    finished_us: Ints


class Paths(msgspec.Struct, frozen=True):
    """What is known of steps, one entry each, in the order of `row`.

    Attributes:
        row: Which of the steps given.
        defined: Whether a definition's graph told what it waits for.
        waited_for: The row of the step that it waited for last; -1 where it waited for none.
        gap_us: From then, or from the run's beginning, to its submit.
        ends_run: Whether it is the one that finished last; of one step of every run.
        critical: Whether it is on the run's critical path.
        node_critical: Whether any step of its node is on the path.
        saved_us: By how much the run would end earlier if all steps of its node took half as long.
    """

    row: Ints
    defined: Bools
    waited_for: Ints
    gap_us: Times
    ends_run: Bools
    critical: Bools
    node_critical: Bools
    saved_us: Times


def find_paths(steps: Steps, waits: Waits) -> Iterator[Paths]:
    """The paths of all runs whose steps' times are known, in any order.

    A run with a step of unknown times, or with more than `MAX_STEPS`, is left out.
    """
    if not len(steps.run):
        return
    begin = np.flatnonzero(np.r_[True, steps.run[1:] != steps.run[:-1]])
    size = np.diff(np.r_[begin, len(steps.run)])
    known = (steps.submitted_us >= 0) & (steps.finished_us >= steps.submitted_us)
    measured = np.logical_and.reduceat(known, begin) & (size <= MAX_STEPS)
    of_node = waits.graph[steps.node]
    graph = np.where(np.logical_and.reduceat(of_node >= 0, begin), of_node[begin], -1)
    kind = np.where(measured, size * (len(waits.allowed) + 1) + graph + 1, -1)
    for each in np.unique(kind[measured]):
        runs = begin[kind == each]
        count, graph_number = divmod(int(each), len(waits.allowed) + 1)
        allowed = waits.allowed[graph_number - 1] if graph_number else None
        at_a_time = max(1, _CELLS // count**2)
        for start in range(0, len(runs), at_a_time):
            rows = runs[start : start + at_a_time] + np.arange(count)[:, None]
            yield _paths(steps, rows, waits.place, allowed)


def _paths(steps: Steps, rows: Ints, place: Ints, allowed: Bools | None) -> Paths:
    """Runs of equally many steps and the same graph; all arrays are (steps, runs)."""
    rows = _in_order(steps, rows)
    node, submitted, finished = steps.node[rows], steps.submitted_us[rows], steps.finished_us[rows]
    if finished.max() < _IN_32_BITS:
        submitted, finished = submitted.astype(np.int32), finished.astype(np.int32)
    edges = finished[:, None] <= submitted[None]
    edges &= np.triu(np.ones((len(rows), len(rows)), bool), 1)[:, :, None]
    same = node[:, None] == node[None]
    if allowed is not None:
        places = place[node]
        edges &= allowed[places[:, None], places[None]] | same
    waited, ready = _last_waited_for(edges, finished)
    gap = submitted - ready
    last = finished.argmax(axis=0)
    critical = _critical(waited, last)
    waited_row = np.where(waited >= 0, np.take_along_axis(rows, np.maximum(waited, 0), 0), -1)
    return Paths(
        row=rows.ravel(),
        defined=np.full(rows.size, allowed is not None),
        waited_for=waited_row.ravel(),
        gap_us=gap.ravel(),
        ends_run=(np.arange(len(rows))[:, None] == last).ravel(),
        critical=critical.ravel(),
        node_critical=(same & critical[:, None]).any(axis=0).ravel(),
        saved_us=_saved(edges, same, gap, finished - submitted, finished.max(axis=0)).ravel(),
    )


def _in_order(steps: Steps, rows: Ints) -> Ints:
    """The rows with the steps of each run in the order of their submits, finishes and nodes."""
    keys = (steps.node[rows], steps.finished_us[rows], steps.submitted_us[rows])
    return np.take_along_axis(rows, np.lexsort(keys, axis=0), 0)


def _last_waited_for(edges: Bools, finished: Times) -> tuple[Ints, Times]:
    """For each step the one waited for that finished last, and when; -1 and 0 for none."""
    reached = np.where(edges, finished[:, None], finished.dtype.type(-1))
    ready = reached.max(axis=0)
    return np.where(ready >= 0, reached.argmax(axis=0), -1), np.maximum(ready, 0)


def _critical(waited: Ints, last: Ints) -> Bools:
    count, runs = waited.shape
    every = np.arange(runs)
    critical = np.zeros((count, runs), bool)
    current = last
    for _ in range(count):
        going_on = current >= 0
        critical[current[going_on], every[going_on]] = True
        current = np.where(going_on, waited[np.maximum(current, 0), every], -1)
    return critical


def _saved(edges: Bools, same: Bools, gap: Times, duration: Times, end: Times) -> Times:
    """What halving each step's node saves its run."""
    count, runs = gap.shape
    shorter = duration - duration // 2
    finished = np.zeros((count, count, runs), gap.dtype)  # of each step, by whose node is halved
    for step in range(count):
        # Steps waited for come before it in order.
        before = finished[:step] * edges[:step, step, None]
        ready = before.max(axis=0) if step else 0
        finished[step] = ready + (gap[step] + duration[step]) - same[step] * shorter[step]
    saved: Times = end - finished.max(axis=0)
    return saved
