"""Who waits for whom: the graphs of definitions, as matrices that paths are found along."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from analytics.paths import Bools, Waits
from recorder.events import lift
from recorder.graph import Graph, read_graph
from recorder.store.tables import definitions

GraphOf = Callable[[str], Graph | None]

_MAX_NODES: Final = 2_000
"""A definition of more nodes is not read as a graph."""

_read_graph: Final = lru_cache(maxsize=64)(read_graph)


def graphs_of(connection: Connection, digests: Sequence[str]) -> dict[str, Graph]:
    """The graphs of those definitions among some that are kept."""
    if not digests:
        return {}
    query = select(definitions.c.digest, definitions.c.definition).where(
        definitions.c.digest.in_(digests)
    )
    rows = connection.execute(query, execution_options={"yield_per": 64})  # each may be a MiB
    return {row.digest: _read_graph(bytes(row.definition)) for row in rows}


def waits_of(
    digests: Sequence[str | None], node_ids: Sequence[str], graphs: Mapping[str, Graph | None]
) -> Waits:
    """Who waits for whom, of nodes given by the digests of their definitions and their ids.

    Definitions that differ in nothing but what their nodes are given count as one.
    """
    graph, place = np.full(len(node_ids), -1), np.zeros(len(node_ids), np.int64)
    rows_of: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        if digest is not None:
            rows_of.setdefault(digest, []).append(row)
    numbers: dict[bytes, int] = {}
    allowed: list[Bools] = []
    for digest, rows in rows_of.items():
        found = graphs.get(digest)
        if found is None or not 0 < len(found.nodes) <= _MAX_NODES:
            continue
        known = {lift(key): key for key in found.nodes}
        told = {row: known[node_ids[row]] for row in rows if node_ids[row] in known}
        keys = sorted(set(told.values()))
        matrix = _matrix(found, keys)
        number = numbers.setdefault(matrix.tobytes(), len(allowed))
        if number == len(allowed):
            allowed.append(matrix)
        places = {key: index for index, key in enumerate(keys)}
        for row, key in told.items():
            graph[row], place[row] = number, places[key]
    return Waits(graph, place, allowed)


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
