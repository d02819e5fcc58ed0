"""The runs that show a change: the slowest of the longer side, beyond what the other side knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from analytics.asking import Snapshot
from analytics.comparing.evidence import Verdict
from analytics.comparing.measures import Driver, GroupChange, MeasureChange, PercentileChange
from analytics.comparing.queries import Measure
from analytics.comparing.sides import Group
from analytics.latency import DIMENSIONS, Dimension

MOST: Final = 5
"""Runs a change."""


class Wanted(msgspec.Struct, frozen=True):
    """Which runs to look for.

    Attributes:
        group: Whose.
        beyond_us: The value they are longer than.
        into: Where to put them.
        since_us, until_us: When they were opened, in microseconds since 1970.
    """

    group: Group
    beyond_us: float
    into: list[Driver]
    since_us: int | None = None
    until_us: int | None = None


def find_runs(opened: Snapshot, wanted: Sequence[Wanted]) -> None:
    """Looks for whole runs of workflows."""
    _find(opened, wanted, "compared_run_drivers", {})


def find_steps(
    opened: Snapshot, wanted: Sequence[Wanted], measure: Measure, by: tuple[Dimension, ...]
) -> None:
    """Looks for the runs of steps of groups told apart like this."""
    parameters: dict[str, Any] = {
        "measure": measure,
        "nodes": [each.group.node for each in wanted],
        "apps": [each.group.app for each in wanted],
    }
    parameters |= {f"by_{dimension}": dimension in by for dimension in DIMENSIONS}
    _find(opened, wanted, "compared_drivers", parameters)


def _find(
    opened: Snapshot, wanted: Sequence[Wanted], question: str, parameters: dict[str, Any]
) -> None:
    if not wanted:
        return
    parameters |= {
        "workflows": [each.group.workflow for each in wanted],
        "beyond_us": [each.beyond_us for each in wanted],
        "since_us": [each.since_us for each in wanted],
        "until_us": [each.until_us for each in wanted],
        "most": MOST,
    }
    for row in opened.rows(question, parameters):
        wanted[row["number"] - 1].into.append(Driver(row["request_id"], row["value_us"]))


def wanted_of(groups: Sequence[GroupChange], measure: Measure, verdict: Verdict) -> list[Wanted]:
    """What to look for on the longer side of every change with this verdict."""
    changes = [(group.key, group.measures[measure]) for group in groups]
    return [
        Wanted(key, _beyond(change, verdict), change.drivers)
        for key, change in changes
        if change.verdict == verdict
    ]


def _beyond(change: MeasureChange, verdict: Verdict) -> float:
    """The other side's value at the highest percentile that changed, else at the lowest asked for."""
    changed = [each for each in change.percentiles if each.verdict == verdict]
    at = max(changed, key=_percentile) if changed else min(change.percentiles, key=_percentile)
    value_us = at.a_us if verdict == "worse" else at.b_us
    assert value_us is not None, "a side without values changes nothing"
    return value_us


def _percentile(change: PercentileChange) -> float:
    return change.percentile
