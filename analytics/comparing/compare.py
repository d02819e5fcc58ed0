"""Two sides compared: what got better or worse between them, by group, with the runs that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from analytics.asking import Snapshot, Source, snapshot
from analytics.comparing.drivers import find_runs, find_steps, wanted_of
from analytics.comparing.evidence import ERROR_RATE, Verdict, judge
from analytics.comparing.intervals import Sample
from analytics.comparing.measures import (
    GroupChange,
    change_of_failures,
    change_of_measure,
)
from analytics.comparing.queries import CompareQuery, Measure
from analytics.comparing.sides import (
    MOST_GROUPS,
    Group,
    Outcomes,
    in_order,
    run_outcomes,
    run_samples,
    step_outcomes,
    step_samples,
)


class CompareReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        query: What was asked.
        runs: By workflow.
        steps: By group. At most `MOST_GROUPS`, those with the most values.
        left_out: How many groups more there are.
        tests: How many tests the verdicts are corrected for.
        error_rate: The share of such answers that may hold a verdict that is chance.
        as_of_position: The log position both sides know at least.
    """

    query: CompareQuery
    runs: list[GroupChange]
    steps: list[GroupChange]
    left_out: int
    tests: int
    as_of_position: int
    error_rate: float = ERROR_RATE


def compare(source: Source, query: CompareQuery) -> CompareReport:
    """Compares what is projected by now.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with snapshot(source, query.a) as a, snapshot(source, query.b) as b:
        return compare_snapshots(a, b, query)


def compare_snapshots(a: Snapshot, b: Snapshot, query: CompareQuery) -> CompareReport:
    """Compares two snapshots, which the query's selections stand for."""
    runs, runs_left_out = _groups(run_outcomes(a), run_outcomes(b))
    _fill(runs, "duration", run_samples(a), run_samples(b), query.percentiles)
    steps, steps_left_out = _groups(step_outcomes(a, query.by), step_outcomes(b, query.by))
    for measure in query.measures:
        of_a, of_b = (step_samples(each, measure, query.by) for each in (a, b))
        _fill(steps, measure, of_a, of_b, query.percentiles)
    tests = judge(test for group in (*runs, *steps) for test in group.tests())
    longer_sides: tuple[tuple[Snapshot, Verdict], ...] = ((b, "worse"), (a, "better"))
    for longer, verdict in longer_sides:
        find_runs(longer, wanted_of(runs, "duration", verdict))
        for measure in query.measures:
            find_steps(longer, wanted_of(steps, measure, verdict), measure, query.by)
    return CompareReport(
        query=query,
        runs=runs,
        steps=steps,
        left_out=runs_left_out + steps_left_out,
        tests=tests,
        as_of_position=min(a.as_of_position, b.as_of_position),
    )


def _groups(
    a: Mapping[Group, Outcomes], b: Mapping[Group, Outcomes]
) -> tuple[list[GroupChange], int]:
    """The largest groups of both sides, in order, with their failures; and how many are left out."""

    def size(group: Group) -> int:
        return sum(side[group].ended for side in (a, b) if group in side)

    every = sorted(a.keys() | b.keys(), key=in_order)
    kept = set(sorted(every, key=size, reverse=True)[:MOST_GROUPS])
    groups = [
        GroupChange(
            workflow=group.workflow,
            node=group.node,
            app=group.app,
            measures={},
            failures=change_of_failures(a.get(group), b.get(group)),
        )
        for group in every
        if group in kept
    ]
    return groups, len(every) - len(groups)


def _fill(
    groups: list[GroupChange],
    measure: Measure,
    a: Mapping[Group, Sample],
    b: Mapping[Group, Sample],
    percentiles: Sequence[float],
) -> None:
    for group in groups:
        sides = a.get(group.key), b.get(group.key)
        group.measures[measure] = change_of_measure(*sides, percentiles)
