"""Several measures of many values, by group: each is read once, a piece at a time, and put into order here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics.asking import Snapshot
from analytics.growing import Growing
from analytics.quantiles import Ints, Values

UNKNOWN: Final = np.iinfo(np.int64).min
"""Stands for a value that is not known."""


class Grouped:
    """The values of some measures, by group.

    Args:
        groups: What tells them apart, a row a group.
        of: The row each value is of.
        measures: The values, `UNKNOWN` for those that are not known.

    Attributes:
        groups: As given.
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
        return self._in_order(values, values != UNKNOWN)

    def differences(self, measure: str, other: str) -> Values:
        """One measure less another, where both are known."""
        first, second = self._measures[measure], self._measures[other]
        return self._in_order(first - second, (first != UNKNOWN) & (second != UNKNOWN))

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
        of_each, told = _values(snapshot, of, parameters, measures, groups)
        if snapshot.as_of_position == position:
            break
        # A file went meanwhile, and SQL, which has told the values, may have come further.
    return Grouped(groups.drop_columns(["n", "stands_for"]), of_each, told)


def _values(
    snapshot: Snapshot,
    of: str,
    parameters: Mapping[str, object],
    measures: Sequence[str],
    groups: pa.Table,
) -> tuple[Ints, dict[str, Ints]]:
    stands_for = groups.column("stands_for").combine_chunks()
    few = (
        groups.num_rows <= np.iinfo(np.uint16).max
    )  # numpy sorts short integers many times as fast

    def read(batches: Iterator[pa.RecordBatch]) -> tuple[Ints, dict[str, Ints]]:
        of_each = Growing(np.uint16 if few else np.int64)
        told = {name: Growing(np.int64) for name in measures}
        for batch in batches:
            place = pc.index_in(batch.column("stands_for"), value_set=stands_for)
            of_each.add(pc.fill_null(place, 0).to_numpy())
            for name, values in told.items():
                values.add(pc.fill_null(batch.column(name), UNKNOWN).to_numpy())
        return of_each.whole(), {name: values.whole() for name, values in told.items()}

    return snapshot.gather(f"values_of_{of}", read, {**parameters, "measures": [*measures]})
