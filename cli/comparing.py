"""How two runs look side by side on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli import content, text
from cli.render import mark, short, status, step_name, table
from cli.text import plain
from recorder.comparison import Change, ComparedStep, Comparison, Difference
from recorder.projections.runs import Run
from recorder.projections.steps import Step

_MARKS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_VALUE_CHARACTERS: Final = 80
_NAME_WIDTH: Final = 28


def comparison_view(compared: Comparison, *, width: int) -> list[RenderableType]:
    """The runs, their steps, then what went in and came out differently."""
    view: list[RenderableType] = [_runs(compared), *_failures(compared)]
    if compared.steps:
        view += ["", _steps(compared, width=width)]
    for name, difference in _payloads(compared):
        if difference is not None and difference.changes:
            view += ["", Text(name, style="bold"), *_changes(difference)]
    return view


def _runs(compared: Comparison) -> Table:
    made = table("", "run", "workflow", "status", "took", "Δ", right=("took", "Δ"))
    made.columns[1].overflow = "fold"
    delta = _signed(compared.duration_delta_us)
    for name, run, more in (("a", compared.a, ""), ("b", compared.b, delta)):
        workflow = Text(text.short_workflow(run.workflow))
        took = text.duration(run.duration_us)
        made.add_row(name, Text(plain(run.request_id)), workflow, status(run.status), took, more)
    return made


def _failures(compared: Comparison) -> Iterator[Text]:
    for name, run in (("a", compared.a), ("b", compared.b)):
        yield from _failure(name, run)


def _failure(name: str, run: Run) -> list[Text]:
    if run.error is None:
        return []
    return [Text(f"{name}: {content.failure_lines(run.error)[0]}", style="red")]


def _steps(compared: Comparison, *, width: int) -> Table:
    """A row a step; without the inference of each where there is no room for it."""
    wide = width >= 100
    of_each = ("inference a", "inference b") if wide else ()
    numbers = ("took a", "took b", "Δ", *of_each, "Δ inference")
    made = table("a", "b", "step", *numbers, "output", right=numbers)
    for step in compared.steps:
        (a, took_a, inference_a), (b, took_b, inference_b) = _facts(step.a), _facts(step.b)
        made.add_row(
            a,
            b,
            short(_name(step), _NAME_WIDTH),
            took_a,
            took_b,
            _signed(step.duration_delta_us),
            *((inference_a, inference_b) if wide else ()),
            _signed(step.inference_delta_us),
            _said(step.output),
        )
    return made


def _facts(step: Step | None) -> tuple[Text, str, str]:
    """A step's mark, its duration and its inference; dashes where a run has no such step."""
    if step is None:
        return Text(text.UNKNOWN, style="dim"), text.UNKNOWN, text.UNKNOWN
    return mark(step.status), text.duration(step.duration_us), text.duration(step.inference_us)


def _said(difference: Difference | None) -> str:
    if difference is None:
        return text.UNKNOWN
    number = len(difference.changes) + difference.left_out
    return text.count(number, "change") if number else "same"


def _name(step: ComparedStep) -> str:
    return step_name(step.node_id, step.attempt)


def _payloads(compared: Comparison) -> Iterator[tuple[str, Difference | None]]:
    yield "input", compared.input
    for step in compared.steps:
        yield f"output of {_name(step)}", step.output
    yield "output", compared.output


def _changes(difference: Difference) -> Iterator[Text]:
    for change in difference.changes:
        mark, colour = _MARKS[change.kind]
        yield Text(f"{mark} {_changed(change)}", style=colour, overflow="fold")
    if difference.left_out:
        yield Text(f"  and {difference.left_out:,} more", style="dim")


def _changed(change: Change) -> str:
    values = {
        "added": _value(change.new),
        "removed": _value(change.old),
        "changed": f"{_value(change.old)} → {_value(change.new)}",
    }
    return f"{plain(change.path) or '(all of it)'}  {values[change.kind]}"


def _value(value: Any) -> str:
    return plain(json.dumps(value, ensure_ascii=False), _VALUE_CHARACTERS)


def _signed(value_us: int | None) -> str:
    if value_us is None:
        return text.UNKNOWN
    return f"{'+' if value_us > 0 else ''}{text.duration(value_us)}"
