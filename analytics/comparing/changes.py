"""Changes over time: when a workflow or one of its nodes became slower or faster, and stayed so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics.asking import Snapshot, Source, snapshot
from analytics.comparing.detecting import LEAST_VALUES, Break, breaks
from analytics.comparing.drivers import Wanted, find_runs, find_steps
from analytics.comparing.evidence import ERROR_RATE, Tested, judge
from analytics.comparing.intervals import Sample
from analytics.comparing.measures import (
    Driver,
    PercentileChange,
    change_of_measure,
)
from analytics.comparing.queries import ChangesQuery, Measure
from analytics.comparing.sides import MOST_GROUPS, Group, in_order, pieces

MOST_LOOKED_AT: Final = 200_000
"""Values of a series; of a longer one every second, third, … is looked at. Percentiles are of all."""


class BeforeAfter(msgspec.Struct, frozen=True, kw_only=True):
    """One percentile before and after a change.

    Attributes:
        percentile: Between 0 and 100.
        before_us, after_us: Exact, interpolated linearly.
        change_us, change_percent: After less before; the share is None where before is 0 or less.
        low_us, high_us: The 95 % confidence interval of `change_us`, as if the moment had been known;
            None where there are too few values for a limit.
    """

    percentile: float
    before_us: float
    after_us: float
    change_us: float
    change_percent: float | None
    low_us: float | None
    high_us: float | None


class Change(Tested, kw_only=True):
    """A change of level.

    Attributes:
        workflow, node: Whose; a whole run's has no node.
        measure: Of what.
        at: When the first run after it was opened, in microseconds since 1970 in UTC.
        since, until: The stretch it was found in: the opening of the run after the last change and that
            of the last run before the next.
        before_count, after_count: Values on either side of it in the stretch.
        after_longer: How often a value from after it is larger than one from before.
        percentiles: As asked for.
        drivers: The slowest of the longer side, beyond the other side's value.
    """

    workflow: str
    node: str | None
    measure: Measure
    at: int
    since: int
    until: int
    before_count: int
    after_count: int
    after_longer: float
    percentiles: list[BeforeAfter]
    drivers: list[Driver] = msgspec.field(default_factory=list)

    @property
    def direction(self) -> float:
        """Above 0 where it takes longer since."""
        return self.after_longer - 0.5


class ChangesReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        query: What was asked.
        changes: By workflow and node, whole runs last, in order of time.
        series: How many series were looked through.
        too_short: How many more have fewer than `LEAST_VALUES` values.
        left_out: How many groups more there are beyond the `MOST_GROUPS` with the most values.
        error_rate: The share of such answers that may hold a change that is chance.
        as_of_position: The log position this is derived from.
    """

    query: ChangesQuery
    changes: list[Change]
    series: int
    too_short: int
    left_out: int
    as_of_position: int
    error_rate: float = ERROR_RATE


class _Series(msgspec.Struct, frozen=True):
    """Values in order of time."""

    group: Group
    measure: Measure
    at_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int64]


def changes(source: Source, query: ChangesQuery) -> ChangesReport:
    """Looks through what is projected by now.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with snapshot(source, query) as opened:
        return changes_in(opened, query)


def changes_in(opened: Snapshot, query: ChangesQuery) -> ChangesReport:
    """Looks through a snapshot, which the query's selection stands for."""
    found: list[Change] = []
    looked_at = quiet = too_short = left_out = 0
    for table, measure in _tables(opened, query.measure):
        sizes = pc.list_value_length(table["points"]).to_numpy()
        rows = np.flatnonzero(sizes >= LEAST_VALUES)
        kept = np.sort(rows[np.argsort(-sizes[rows], kind="stable")][:MOST_GROUPS])
        too_short += len(sizes) - len(rows)
        left_out += len(rows) - len(kept)
        looked_at += len(kept)
        for row in kept:
            of_series = _changes(_series(table, int(row), measure), query.percentiles)
            quiet += not of_series
            found += of_series
    judge(found, others=quiet)
    held = [change for change in found if change.verdict != "no evidence"]
    held.sort(key=lambda change: (in_order(Group(change.workflow, change.node)), change.at))
    _drive(opened, held, query.measure)
    return ChangesReport(
        query=query,
        changes=held,
        series=looked_at,
        too_short=too_short,
        left_out=left_out,
        as_of_position=opened.as_of_position,
    )


def _tables(opened: Snapshot, measure: Measure) -> Iterator[tuple[pa.Table, Measure]]:
    yield opened.ask("run_values_over_time"), "duration"
    for table in pieces(opened, "values_over_time", measure):
        yield table, measure


def _series(table: pa.Table, row: int, measure: Measure) -> _Series:
    names = table.drop_columns("points").slice(row, 1).to_pylist()[0]
    points = table["points"][row].values
    at_us = points.field("at_us").to_numpy(zero_copy_only=False)
    values = points.field("value_us").to_numpy(zero_copy_only=False)
    order = np.argsort(at_us, kind="stable")
    group = Group(names["workflow"], names.get("node"))
    return _Series(group, measure, at_us[order], values[order])


def _changes(series: _Series, percentiles: Sequence[float]) -> list[Change]:
    every = -(-len(series.values) // MOST_LOOKED_AT)
    found = breaks(series.values[::every], series.at_us[::every])
    return [_change(series, each, every, percentiles) for each in found]


def _change(series: _Series, found: Break, every: int, percentiles: Sequence[float]) -> Change:
    start, index = found.start * every, found.index * every
    end = min(found.end * every, len(series.values))
    before, after = (
        Sample(np.sort(values), len(values))
        for values in (series.values[start:index], series.values[index:end])
    )
    change = change_of_measure(before, after, percentiles)
    assert change.shift.b_longer is not None, "both sides have values"
    assert series.group.workflow is not None, "series are told apart by workflow"
    return Change(
        p_value=found.p_value,
        workflow=series.group.workflow,
        node=series.group.node,
        measure=series.measure,
        at=int(series.at_us[index]),
        since=int(series.at_us[start]),
        until=int(series.at_us[end - 1]),
        before_count=index - start,
        after_count=end - index,
        after_longer=change.shift.b_longer,
        percentiles=[_before_after(each) for each in change.percentiles],
    )


def _before_after(change: PercentileChange) -> BeforeAfter:
    assert change.a_us is not None, "both sides have values"
    assert change.b_us is not None
    assert change.change_us is not None
    return BeforeAfter(
        percentile=change.percentile,
        before_us=change.a_us,
        after_us=change.b_us,
        change_us=change.change_us,
        change_percent=change.change_percent,
        low_us=change.low_us,
        high_us=change.high_us,
    )


def _drive(opened: Snapshot, found: Sequence[Change], measure: Measure) -> None:
    """Looks for the runs that show the changes."""
    find_runs(opened, [_wanted(change) for change in found if change.node is None])
    of_steps = [_wanted(change) for change in found if change.node is not None]
    find_steps(opened, of_steps, measure, ("workflow", "node"))


def _wanted(change: Change) -> Wanted:
    group = Group(change.workflow, change.node)
    at = max(change.percentiles, key=_percentile)
    if change.verdict == "worse":
        return Wanted(group, at.before_us, change.drivers, change.at, change.until + 1)
    return Wanted(group, at.after_us, change.drivers, change.since, change.at)


def _percentile(each: BeforeAfter) -> float:
    return each.percentile
