"""What is known of steps along their runs' graphs, as columns of `steps`: found once, when rows are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from analytics.paths import Ints, Numbers, Steps, find_paths
from analytics.waits import waits_of
from recorder.graph import Graph

_GRAPHS: Final = pa.array(["observed", "definition"])
_FOUND: Final[dict[str, Any]] = {
    "gap_us": np.int64,
    "critical": np.bool_,
    "node_critical": np.bool_,
    "ends_run": np.bool_,
    "saved_us": np.int64,
}
"""Columns that are as paths have them, and their types."""


def path_columns(
    run: Ints, steps: Mapping[str, pa.Array], graphs: Mapping[str, Graph | None]
) -> dict[str, pa.Array]:
    """The columns of `STEPS` that paths tell; NULL for steps of runs that are left out.

    Args:
        run: A number for the run of each step; all steps of a run have to be there, in any order.
        steps: The columns definition, node_id, submitted_us and finished_us.
        graphs: Of definitions, by their digests; of others the order of submits and finishes tells.
    """
    count = len(run)
    node, definitions, names = _nodes(steps["definition"], steps["node_id"])
    order = _together(run)
    submitted, finished = (_times(steps[name]) for name in ("submitted_us", "finished_us"))
    given = Steps(run[order], node[order], submitted[order], finished[order])
    known = np.zeros(count, bool)
    defined, waited_for = np.zeros(count, np.int8), np.full(count, -1)
    found = {name: np.zeros(count, kind) for name, kind in _FOUND.items()}
    for paths in find_paths(given, waits_of(definitions, names, graphs)):
        rows = order[paths.row]
        known[rows] = True
        defined[rows] = paths.defined
        waited_for[rows] = np.where(paths.waited_for < 0, -1, order[paths.waited_for])
        for name, values in found.items():
            values[rows] = getattr(paths, name)
    left_out = None if known.all() else ~known
    columns = {name: pa.array(values, mask=left_out) for name, values in found.items()}
    columns["graph"] = _GRAPHS.take(pa.array(defined, mask=left_out))
    columns["waited_for"] = steps["node_id"].take(pa.array(waited_for, mask=waited_for < 0))
    return columns


def _times(values: pa.Array) -> Ints:
    """-1 where unknown."""
    known: Ints = values.fill_null(-1).to_numpy()
    return known


def _together(run: Ints) -> Ints:
    """The order in which the steps of every run are together, as they mostly are."""
    if (run[1:] >= run[:-1]).all():
        return np.arange(len(run))
    return np.argsort(run, kind="stable")


def _nodes(
    definitions: pa.Array, node_ids: pa.Array
) -> tuple[Numbers, list[str | None], list[str]]:
    """Numbers the nodes, each of a definition; and the definitions and ids that numbers stand for."""
    by_definition = definitions.dictionary_encode("encode")
    by_id = node_ids.dictionary_encode()
    digests, ids = by_definition.dictionary.to_pylist(), by_id.dictionary.to_pylist()
    in_order = sorted(ids)
    place = np.empty(len(ids), np.int64)
    place[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    both = by_definition.indices.to_numpy().astype(np.int64) * len(ids)
    both += place[by_id.indices.to_numpy()]
    there, number = np.unique(both, return_inverse=True)
    told = [divmod(each, len(ids)) for each in there.tolist()]
    return (
        number.astype(np.int32),
        [digests[definition] for definition, _ in told],
        [in_order[name] for _, name in told],
    )
