"""Walking through all completed runs, with the graphs of their definitions, a batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from analytics.asking import Snapshot
from analytics.paths import Bools, Ints, Paths, Steps, Waits, find_paths
from recorder.events import lift
from recorder.graph import Graph

GraphOf = Callable[[str], Graph | None]

MAX_GRAPHS: Final = 500
"""Runs of further definitions, those with the fewest steps, are taken as if they had none."""
_MAX_NODES: Final = 2_000
"""A definition of more nodes is not read as a graph."""


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

    def paths(self, reduce: Callable[[Ints, Paths], pa.Table]) -> list[pa.Table]:
        """What `reduce` makes of the nodes and paths of each batch; it keeps little, or memory fills."""
        made, runs = [], []
        for steps in self._batches():
            runs.append(steps.run[np.r_[True, steps.run[1:] != steps.run[:-1]]])
            made += self._reduced(steps, reduce)
        every = np.concatenate(runs) if runs else np.zeros(0, np.uint64)
        if len(np.unique(every)) == len(every):
            return made
        return self._reduced(_together(self._as_steps(self._snapshot.ask("steps_of_runs"))), reduce)

    def _reduced(self, steps: Steps, reduce: Callable[[Ints, Paths], pa.Table]) -> list[pa.Table]:
        return [reduce(steps.node[paths.row], paths) for paths in find_paths(steps, self._waits)]

    def _batches(self) -> Iterator[Steps]:
        """The steps in order; a run that goes on in the next batch is kept for that."""
        rest: list[pa.RecordBatch] = []
        for batch in self._snapshot.batches("steps_of_runs"):
            rest.append(batch)
            run = batch.column("run").to_numpy()
            ends = np.flatnonzero(run[1:] != run[:-1])
            if len(ends):
                whole = int(ends[-1]) + 1
                yield self._as_steps(pa.Table.from_batches([*rest[:-1], batch.slice(0, whole)]))
                rest = [batch.slice(whole)]
        if rest:
            yield self._as_steps(pa.Table.from_batches(rest))

    def _as_steps(self, table: pa.Table) -> Steps:
        names = table.column("node").to_numpy()
        return Steps(
            run=table.column("run").to_numpy(),
            node=self._order[np.searchsorted(self._names, names)],
            submitted_us=table.column("submitted_us").to_numpy(),
            finished_us=table.column("finished_us").to_numpy(),
        )


def _together(steps: Steps) -> Steps:
    order = np.argsort(steps.run, kind="stable")
    return Steps(
        steps.run[order],
        steps.node[order],
        steps.submitted_us[order],
        steps.finished_us[order],
    )


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
