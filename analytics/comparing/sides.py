"""One side of a comparison: its values and outcomes by group, out of a snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.asking import Snapshot
from analytics.comparing.intervals import Sample
from analytics.comparing.queries import Measure
from analytics.latency import Dimension

MOST_GROUPS: Final = 1_000
"""Of an answer: the largest."""
_MOST_AT_ONCE: Final = 3_000_000
"""Steps whose values are asked for together."""


class Group(NamedTuple):
    """What is looked at together; None where it is not told apart, or has no app."""

    workflow: str | None
    node: str | None = None
    app: str | None = None


class Outcomes(msgspec.Struct, frozen=True):
    """How steps or runs of a group ended.

    Attributes:
        ended, failed: Counts; the second are among the first.
        independent: How many independent ones those that ended are worth.
    """

    ended: int
    failed: int
    independent: int


class _Values(NamedTuple):
    """Values of a part of a group; `squares` as the questions tell it."""

    workflow: str
    squares: int
    values: npt.NDArray[np.int64]


class _Counts(NamedTuple):
    """How a part of a group ended; `squares` as the questions tell it."""

    workflow: str
    squares: int
    ended: int
    failed: int


def step_samples(
    opened: Snapshot, measure: Measure, by: tuple[Dimension, ...]
) -> dict[Group, Sample]:
    """The values of completed steps, of groups that have any."""
    return _samples(pieces(opened, "compared_values", measure), by)


def run_samples(opened: Snapshot) -> dict[Group, Sample]:
    """The durations of completed runs by workflow."""
    return _samples([opened.ask("compared_run_values")], ("workflow",))


def step_outcomes(opened: Snapshot, by: tuple[Dimension, ...]) -> dict[Group, Outcomes]:
    """How steps ended."""
    return _outcomes(opened.rows("compared_outcomes"), by)


def run_outcomes(opened: Snapshot) -> dict[Group, Outcomes]:
    """How runs ended, by workflow."""
    return _outcomes(opened.rows("compared_run_outcomes"), ("workflow",))


def pieces(opened: Snapshot, question: str, measure: Measure) -> Iterator[pa.Table]:
    """The answer to a question for values of steps, in pieces that fit into memory.

    What DuckDB gathers for lists takes several times their size.
    """
    (size,) = opened.rows("steps_at_hand")
    parts = 1 + int(size["completed"]) // _MOST_AT_ONCE
    for part in range(parts):
        yield opened.ask(question, {"measure": measure, "part": part, "parts": parts})


def _samples(tables: Iterable[pa.Table], by: tuple[Dimension, ...]) -> dict[Group, Sample]:
    groups: dict[Group, list[_Values]] = defaultdict(list)
    for table in tables:
        rows = table.drop_columns("values_us").to_pylist()
        for row, values in zip(rows, _lists(table), strict=True):
            groups[_group(row, by)].append(_Values(row["workflow"], row["squares"], values))
    return {group: _sample(parts) for group, parts in groups.items()}


def _outcomes(
    rows: Iterable[Mapping[str, Any]], by: tuple[Dimension, ...]
) -> dict[Group, Outcomes]:
    groups: dict[Group, list[_Counts]] = defaultdict(list)
    for row in rows:
        counts = _Counts(row["workflow"], row["squares"], row["ended"], row["failed"])
        groups[_group(row, by)].append(counts)
    return {group: _outcome(parts) for group, parts in groups.items()}


def _group(row: Mapping[str, Any], by: tuple[Dimension, ...]) -> Group:
    return Group(*(row[name] if name in by else None for name in Group._fields))


def _lists(table: pa.Table) -> list[npt.NDArray[np.int64]]:
    """The lists of `values_us`, as views of a copy that is ours to sort."""
    lists = pa.concat_arrays(table["values_us"].chunks or [pa.array([], pa.list_(pa.int64()))])
    values = np.array(lists.values.to_numpy(zero_copy_only=False), dtype=np.int64)
    ends = lists.offsets.to_numpy()
    return [values[start:end] for start, end in pairwise(ends)]


def _sample(parts: Sequence[_Values]) -> Sample:
    values = parts[0].values if len(parts) == 1 else np.concatenate([each.values for each in parts])
    values.sort()
    return Sample(values, _independent(len(values), parts))


def _outcome(parts: Sequence[_Counts]) -> Outcomes:
    ended, failed = sum(part.ended for part in parts), sum(part.failed for part in parts)
    return Outcomes(ended, failed, _independent(ended, parts))


def _independent(count: int, parts: Sequence[_Values] | Sequence[_Counts]) -> int:
    """How many independent values so many are worth, if those of one run told all the same.

    That is Kish's n² / Σm², m being a run's values. Where a run has values in several parts (an app that
    several nodes use), their squares add up to at most the number of parts times the sum of squares.
    """
    squares: dict[str, list[int]] = defaultdict(list)
    for part in parts:
        squares[part.workflow].append(part.squares)
    most = sum(len(each) * sum(each) for each in squares.values())
    return min(count, count * count // most)


def in_order(group: Group) -> tuple[tuple[bool, str], ...]:
    """Sorts groups by workflow, node and app, those without one last."""
    return tuple((name is None, name or "") for name in group)
