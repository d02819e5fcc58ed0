"""How a latency report looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analytics.latency import LatencyReport, Measure, RunLatency, StepLatency
from cli import text
from cli.render import table
from cli.text import plain

_NAME_WIDTH: Final = 21
_WIDE_NAME_WIDTH: Final = 30


def report_view(report: LatencyReport, *, width: int) -> list[RenderableType]:
    """Runs first, then the steps of each workflow, columns in line all the way down."""
    name_width = _NAME_WIDTH if width < 100 else _WIDE_NAME_WIDTH
    with_p95 = width >= 90
    view: list[RenderableType] = [_runs(report.runs, name_width, with_p95)]
    for workflow, steps in groupby(report.steps, lambda row: row.workflow):
        heading = "all workflows" if workflow is None else text.short_workflow(workflow)
        view += ["", Text(heading, style="bold"), _steps(list(steps), name_width, with_p95)]
    view.append(Text(f"as of position {report.as_of_position:,}", style="dim"))
    return view


def _runs(runs: Iterable[RunLatency], name_width: int, with_p95: bool) -> Table:
    made = _table("runs", name_width, with_p95)
    for run in runs:
        lost = run.failed + run.interrupted + run.cancelled
        _add(made, text.short_workflow(run.workflow), "duration", run.duration, name_width)
        _add(made, f"  {lost} not completed" if lost else "", "1st event", run.first_event, 0)
    return made


def _steps(steps: Sequence[StepLatency], name_width: int, with_p95: bool) -> Table:
    made = _table("steps", name_width, with_p95)
    for step in steps:
        name = plain(step.node or step.app or "all steps")
        app = plain(step.app) if step.node and step.app else ""
        lost = step.failed + step.unfinished
        _add(made, name, "duration", step.duration, name_width)
        _add(made, f"  {app}" if app else "", "inference", step.inference, 0)
        _add(made, f"  {lost} not completed" if lost else "", "overhead", step.overhead, 0)
    return made


def _table(what: str, name_width: int, with_p95: bool) -> Table:
    numbers = ("n", "p50", "p90", *(("p95",) if with_p95 else ()), "p99", "max")
    made = table(what, "measure", *numbers, right=numbers)
    for column in made.columns:
        if column.header in numbers:
            column.min_width = 4 if column.header == "n" else 7
    made.columns[0].width = name_width
    made.columns[0].overflow = "ellipsis"
    made.columns[1].width = 9
    return made


def _add(made: Table, name: str, what: str, measure: Measure, strong: int) -> None:
    values = {"p50": measure.p50_us, "p90": measure.p90_us, "p95": measure.p95_us}
    values |= {"p99": measure.p99_us, "max": measure.max_us}
    shown = [values[column.header] for column in made.columns if column.header in values]
    made.add_row(
        Text(name),
        what,
        str(measure.count),
        *(text.duration(None if value is None else round(value)) for value in shown),
        style="" if strong else "dim",
    )
