"""Several measures of many values, by group: each is read once, a piece at a time, and put into order here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics.asking import Snapshot
from analytics.quantiles import Ints, Values

_UNKNOWN: Final = np.iinfo(np.int64).min
_GROUP: Final = "group"


class Grouped:
    """The values of some measures, by group.

    Attributes:
        groups: What tells them apart, a row a group.
    """

    def __init__(self, groups: pa.Table, of: Ints, measures: dict[str, Ints]) -> None:
        self.groups = groups
        self._of = of
        self._order = np.argsort(of, kind="stable")
        self._starts = _starts(of, groups.num_rows)
        self._measures = measures

    def values(self, measure: str) -> Values:
        """Those of a measure that was read."""
        values = self._measures[measure]
        return self._in_order(values, values != _UNKNOWN)

    def differences(self, measure: str, other: str) -> Values:
        """One measure less another, where both are known."""
        first, second = self._measures[measure], self._measures[other]
        return self._in_order(first - second, (first != _UNKNOWN) & (second != _UNKNOWN))

    def _in_order(self, values: Ints, known: NDArray[np.bool_]) -> Values:
        if known.all():
            return Values(values[self._order], self._starts)
        of_known = _starts(self._of[known], self.groups.num_rows)
        return Values(values[self._order[known[self._order]]], of_known)


def _starts(of: Ints, groups: int) -> Ints:
    return np.concatenate([[0], np.cumsum(np.bincount(of, minlength=groups))])


def read_grouped(
    snapshot: Snapshot, of: str, parameters: Mapping[str, object], measures: Sequence[str]
) -> Grouped:
    """Reads measures of runs or steps.

    Args:
        snapshot: What to ask.
        of: `runs` or `steps`.
        parameters: Those of `groups_of_{of}.sql`.
        measures: Columns.
    """
    while True:
        position = snapshot.as_of_position
        groups = snapshot.ask_shortly(f"groups_of_{of}", parameters)
        pieces = _pieces(snapshot, of, parameters, measures, groups)
        if snapshot.as_of_position == position:
            break
        # A file went meanwhile, and SQL, which has told the values, may have come further.
    names = groups.drop_columns(["n", "stands_for"])
    in_groups = np.concatenate([piece.pop(_GROUP) for piece in pieces])
    # One measure after the other: what is put together is not needed in pieces.
    return Grouped(
        names,
        in_groups,
        {name: np.concatenate([each.pop(name) for each in pieces]) for name in measures},
    )


def _pieces(
    snapshot: Snapshot,
    of: str,
    parameters: Mapping[str, object],
    measures: Sequence[str],
    groups: pa.Table,
) -> list[dict[str, Any]]:
    stands_for = groups.column("stands_for").combine_chunks()
    few = (
        groups.num_rows <= np.iinfo(np.uint16).max
    )  # numpy sorts short integers many times as fast

    def keep(batch: pa.RecordBatch) -> dict[str, Any]:
        place = pc.fill_null(pc.index_in(batch.column("stands_for"), value_set=stands_for), 0)
        kept = {_GROUP: place.to_numpy().astype(np.uint16 if few else np.int64)}
        for name in measures:
            kept[name] = pc.fill_null(batch.column(name), _UNKNOWN).to_numpy()
        return kept

    empty = {_GROUP: np.zeros(0, np.uint16)} | {name: np.zeros(0, np.int64) for name in measures}
    told = snapshot.gather(f"values_of_{of}", keep, {**parameters, "measures": [*measures]})
    return [empty, *told]
