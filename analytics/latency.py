"""Latency of steps and runs: exact percentiles by workflow, node and app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from analytics.asking import Snapshot, Source, snapshot
from analytics.selection import Selection
from recorder.errors import BadQuery

Dimension = Literal["workflow", "node", "app"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)


class LatencyQuery(Selection, frozen=True, kw_only=True):
    """What to measure, and what to tell apart.

    Attributes:
        by: Dimensions steps are grouped by; without any, all steps make one row. Runs are always
            grouped by workflow.

    Raises:
        BadQuery: `by` names something else, or something twice; or as `Selection`.
    """

    by: tuple[Dimension, ...] = DIMENSIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.by) <= set(DIMENSIONS) or len(set(self.by)) != len(self.by):
            raise BadQuery("by", f"names each of {', '.join(DIMENSIONS)} at most once")


class Measure(msgspec.Struct, frozen=True):
    """The distribution of one measure, in microseconds.

    Attributes:
        count: How many values are known; of none, everything else is None.
        p50_us, p90_us, p95_us, p99_us: Exact, interpolated linearly between neighbouring values,
            rounded to the nanosecond.
        max_us: The largest value.
    """

    count: int
    p50_us: float | None
    p90_us: float | None
    p95_us: float | None
    p99_us: float | None
    max_us: int | None


class StepLatency(msgspec.Struct, frozen=True, kw_only=True):
    """A group of steps. Only its completed ones are measured.

    Attributes:
        workflow, node, app: The group; None where the query does not group by it. `app` is None
            as well for steps whose app no event named.
        overhead: Duration less inference, of the steps where both are known; may be negative.
    """

    workflow: str | None
    node: str | None
    app: str | None
    completed: int
    failed: int
    unfinished: int
    running: int
    duration: Measure
    inference: Measure
    overhead: Measure


class RunLatency(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of a workflow. Only the completed ones are measured.

    Attributes:
        duration: From the request to the end of the stream.
        first_event: From the request to fal's first event.
    """

    workflow: str
    completed: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    duration: Measure
    first_event: Measure


class LatencyReport(msgspec.Struct, frozen=True):
    """The answer: one state of the log, measured.

    Attributes:
        steps: Sorted by workflow, node, app.
        runs: Sorted by workflow.
        as_of_position: The log position all of this is derived from.
    """

    steps: list[StepLatency]
    runs: list[RunLatency]
    as_of_position: int


def latency(source: Source, query: LatencyQuery) -> LatencyReport:
    """Measures what is projected by now.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with snapshot(source, query) as opened:
        return latency_in(opened, query.by)


def latency_in(opened: Snapshot, by: Sequence[Dimension]) -> LatencyReport:
    """Measures a snapshot."""
    told_apart = {f"by_{dimension}": dimension in by for dimension in DIMENSIONS}
    return LatencyReport(
        [_step_latency(row) for row in opened.rows("latency", told_apart)],
        [_run_latency(row) for row in opened.rows("run_latency")],
        opened.as_of_position,
    )


def _step_latency(row: dict[str, Any]) -> StepLatency:
    return StepLatency(
        workflow=row["workflow"],
        node=row["node"],
        app=row["app"],
        completed=row["completed"],
        failed=row["failed"],
        unfinished=row["unfinished"],
        running=row["running"],
        duration=_measure(row, "duration"),
        inference=_measure(row, "inference"),
        overhead=_measure(row, "overhead"),
    )


def _run_latency(row: dict[str, Any]) -> RunLatency:
    return RunLatency(
        workflow=row["workflow"],
        completed=row["completed"],
        failed=row["failed"],
        interrupted=row["interrupted"],
        cancelled=row["cancelled"],
        running=row["running"],
        duration=_measure(row, "duration"),
        first_event=_measure(row, "first_event"),
    )


def _measure(row: dict[str, Any], name: str) -> Measure:
    quantiles = row[f"{name}_quantiles_us"] or [None] * 4
    p50_us, p90_us, p95_us, p99_us = (_rounded(value) for value in quantiles)
    return Measure(row[f"{name}_count"], p50_us, p90_us, p95_us, p99_us, row[f"{name}_max_us"])


def _rounded(value: float | None) -> float | None:
    # Interpolating in binary leaves 760.0000000000001 of what is 760.
    return None if value is None else round(value, 3)
