"""Walking through all completed runs, with the graphs of their definitions, a batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from analytics.asking import Snapshot
from analytics.paths import Bools, Numbers, Paths, Steps, Waits, find_paths
from recorder.events import lift
from recorder.graph import Graph

GraphOf = Callable[[str], Graph | None]

MAX_GRAPHS: Final = 500
"""Runs of further definitions, those with the fewest steps, are taken as if they had none."""
_MAX_NODES: Final = 2_000
"""A definition of more nodes is not read as a graph."""
_RUNS_AT_A_TIME: Final = 250_000
_COLUMNS: Final = ("run", "node", "submitted_us", "finished_us")
_NO_STEPS: Final = Steps(
    np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64)
)


class Walk:
    """All completed runs of a snapshot.

    Args:
        snapshot: Where they are, with all steps of each.
        graph: Finds a definition's graph.
        node, app: See `nodes`.

    Attributes:
        nodes: A row a node: `number`, by which paths name it, `workflow`, `definition`, `node_id`, and
            `told`: whether it is the node, and one that has steps of the app, that are asked about.
    """

    def __init__(
        self, snapshot: Snapshot, graph: GraphOf, *, node: str | None, app: str | None
    ) -> None:
        self._snapshot = snapshot
        found = snapshot.ask("nodes_of_runs", {"node": lift(node), "app": lift(app)})
        self.nodes = found.append_column("number", pa.array(range(found.num_rows), pa.int32()))
        self._waits = _waits(self.nodes, graph)
        names = self.nodes.column("node").to_numpy()
        self._order = np.argsort(names)
        self._names = names[self._order]

    def paths(
        self, reduce: Callable[[Numbers, Paths], pa.Table], *, savings: bool = True
    ) -> list[pa.Table]:
        """What `reduce` makes of the nodes and paths of each batch; it keeps little, or memory fills."""
        steps = together(self._steps())
        starts = np.flatnonzero(np.r_[True, steps.run[1:] != steps.run[:-1]])
        bounds = [*starts[::_RUNS_AT_A_TIME].tolist(), len(steps.run)]
        return [
            reduce(some.node[paths.row], paths)
            for begin, end in pairwise(bounds)
            for some in [_cut(steps, begin, end)]
            for paths in find_paths(some, self._waits, savings=savings)
        ]

    def _steps(self) -> Steps:
        """All steps, a piece at a time, so that never all of DuckDB's answer is held beside them."""
        pieces = [_NO_STEPS, *self._snapshot.gather("steps_of_runs", self._as_steps)]
        return Steps(
            *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in _COLUMNS)
        )

    def _as_steps(self, batch: pa.RecordBatch) -> Steps:
        names = batch.column("node").to_numpy()
        return Steps(
            run=batch.column("run").to_numpy(),
            node=self._order[np.searchsorted(self._names, names)].astype(np.int32),
            submitted_us=batch.column("submitted_us").to_numpy(),
            finished_us=batch.column("finished_us").to_numpy(),
        )


def together(steps: Steps) -> Steps:
    """Brings together the steps of runs that are not.

    Most runs lie in one piece, as they were written; DuckDB hands out pieces of a table in any order, so
    some are cut. Only these are sorted.
    """
    if not len(steps.run):
        return steps
    begin = np.flatnonzero(np.r_[True, steps.run[1:] != steps.run[:-1]])
    _, number, pieces = np.unique(steps.run[begin], return_inverse=True, return_counts=True)
    in_pieces = pieces[number] > 1
    if not in_pieces.any():
        return steps
    rows = np.repeat(in_pieces, np.diff(np.r_[begin, len(steps.run)]))
    cut = np.flatnonzero(rows)
    cut = cut[np.argsort(steps.run[cut], kind="stable")]
    whole = ~rows
    return Steps(
        *(
            np.concatenate([getattr(steps, name)[whole], getattr(steps, name)[cut]])
            for name in _COLUMNS
        )
    )


def _cut(steps: Steps, begin: int, end: int) -> Steps:
    return Steps(*(getattr(steps, name)[begin:end] for name in _COLUMNS))


def _waits(nodes: pa.Table, graph_of: GraphOf) -> Waits:
    """Reads the graphs of the definitions that have most steps."""
    definitions = nodes.column("definition").to_pylist()
    steps: dict[str, int] = {}
    for definition, count in zip(definitions, nodes.column("steps").to_pylist(), strict=True):
        if definition is not None:
            steps[definition] = steps.get(definition, 0) + count
    most = sorted(steps, key=lambda definition: -steps[definition])[:MAX_GRAPHS]
    graphs = {definition: graph_of(definition) for definition in most}
    return waits_of(definitions, nodes.column("node_id").to_pylist(), graphs)


def waits_of(
    definitions: list[str | None], node_ids: list[str], graphs: Mapping[str, Graph | None]
) -> Waits:
    """Who waits for whom, of nodes given by their definitions and ids."""
    number, place = np.full(len(node_ids), -1), np.zeros(len(node_ids), np.int64)
    allowed: list[Bools] = []
    for definition, graph in graphs.items():
        if graph is None or not 0 < len(graph.nodes) <= _MAX_NODES:
            continue
        known = {lift(key): key for key in graph.nodes}
        rows = [row for row, name in enumerate(definitions) if name == definition]
        told = [row for row in rows if node_ids[row] in known]
        keys = sorted({known[node_ids[row]] for row in told})
        places = {key: index for index, key in enumerate(keys)}
        for row in told:
            number[row], place[row] = len(allowed), places[known[node_ids[row]]]
        allowed.append(_matrix(graph, keys))
    return Waits(number, place, allowed)


def _matrix(graph: Graph, keys: list[str]) -> Bools:
    """Whether the node of the second place waits for that of the first, be it through others.

    Through others, since some have no steps: what picks the results, what a run left out.
    """
    places = {key: index for index, key in enumerate(keys)}
    matrix = np.zeros((len(keys), len(keys)), bool)
    for key, index in places.items():
        for before in _before(graph, key):
            if before in places:
                matrix[places[before], index] = True
    return matrix


def _before(graph: Graph, key: str) -> set[str]:
    found: set[str] = set()
    left = deque(graph.nodes[key].waits_for)
    while left:
        each = left.popleft()
        if each not in found:
            found.add(each)
            left += graph.nodes[each].waits_for
    return found
