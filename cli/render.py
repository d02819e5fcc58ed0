"""How runs, steps and events look on a terminal.

Everything is built of `Text`, never of markup, and everything from outside passes `text.plain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli import content, text
from cli.output import out
from cli.text import plain
from cli.timeline import Axis, TimingBar, legend, span_us
from recorder.events import (
    Answer,
    Closed,
    Completion,
    Error,
    Exchange,
    LoggedEvent,
    Opened,
    Output,
)
from recorder.projections.queue import Queue
from recorder.projections.runs import Run
from recorder.projections.steps import Failure

_LOOKS: Final = {
    "running": ("●", "cyan"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "interrupted": ("◐", "yellow"),
    "cancelled": ("⊘", "yellow"),
    "unfinished": ("◌", "yellow"),
}
_EVENT_COLOURS: Final = {
    "submit": "cyan",
    "completion": "green",
    "output": "bold",
    "answer": "bold",
    "error": "red",
}
_NODE_WIDTH: Final = 28
_TIME_WIDTH: Final = len("11-23 06:16:21")
_STEPS_WIDTH: Final = len("steps")


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without lines; the columns named in `right` hold numbers."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        made.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    return made


def status(value: str) -> Text:
    """A run's or step's status with its mark."""
    sign, colour = _LOOKS.get(value, ("?", ""))
    return Text(f"{sign} {plain(value)}", style=colour)


def mark(value: str) -> Text:
    """The mark of a status alone."""
    sign, colour = _LOOKS.get(value, ("?", ""))
    return Text(sign, style=colour)


def runs_table(runs: Sequence[Run], *, width: int) -> Table:
    """Runs, newest first as they are given; in a narrow terminal without time and steps."""
    with_time, with_steps = width >= 100, width >= 112
    durations = [text.duration(run.duration_us) for run in runs]
    others = (
        _widest("status", *(f"? {run.status}" for run in runs))
        + _widest("request id", *(plain(run.request_id) for run in runs))
        + _widest("took", *durations)
        + _TIME_WIDTH * with_time
        + _STEPS_WIDTH * with_steps
        + 2 * (3 + with_time + with_steps)
    )
    columns = ["status", "request id", "workflow", "took"]
    columns += ["steps"] * with_steps + ["opened (UTC)"] * with_time
    made = table(*columns, right=("took",))
    made.columns[1].overflow = "fold"
    for run, took in zip(runs, durations, strict=True):
        row: list[RenderableType] = [
            status(run.status),
            Text(plain(run.request_id)),
            short(text.short_workflow(run.workflow), max(8, width - others)),
            took,
        ]
        if with_steps:
            row.append(_steps_done(run))
        if with_time:
            row.append(text.moment(run.opened_at)[5:])
        made.add_row(*row)
    return made


def _widest(*values: str) -> int:
    return max(cell_len(value) for value in values)


def _steps_done(run: Run) -> str:
    done = sum(step.status == "completed" for step in run.steps.values())
    return f"{done}/{len(run.steps)}"


def run_head(run: Run, opened: Opened | None = None) -> Table:
    """What a run is: its status, times and input, one fact a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    took = "" if run.duration_us is None else f" in {text.duration(run.duration_us)}"
    grid.add_row("status", status(run.status).append(took))
    grid.add_row("run", Text(plain(run.request_id)))
    grid.add_row("workflow", Text(plain(run.workflow) or text.UNKNOWN))
    grid.add_row("opened", Text(_times(run)))
    if run.queue is not None:
        grid.add_row("queue", Text(_queue(run.queue)))
    if run.definition is not None:
        grid.add_row("definition", Text(run.definition))
    if run.parent is not None:
        grid.add_row("rerun of", Text(plain(run.parent)))
    grid.add_row("log", Text(_place(run)))
    if opened is not None and opened.input is not None:
        grid.add_row("input", Text(plain(opened.input, 300)))
    if run.anomalies:
        said = ", ".join(f"{plain(name)} × {times}" for name, times in run.anomalies.items())
        grid.add_row("anomalies", Text(said, style="yellow"))
    return grid


def _times(run: Run) -> str:
    closed = f", closed by {run.close_reason}" if run.close_reason else ""
    return f"{text.moment(run.opened_at)} UTC{closed}"


def _queue(queue: Queue) -> str:
    waited = text.duration(queue.started_us)
    cancelled = ", asked to cancel" if queue.cancel_requested else ""
    return f"waited {waited}, ran {text.duration(queue.running_us)}{cancelled}"


def _place(run: Run) -> str:
    source = f" from {plain(run.source)}" if run.source else ""
    return f"{text.count(run.events, 'event')}{source}, as of position {run.as_of_position:,}"


def steps_view(run: Run, *, width: int) -> list[RenderableType]:
    """The steps with their times and bars, and what the bars' shades mean."""
    steps = run.ordered_steps()
    if not steps:
        return []
    whole_us = span_us(run)
    with_app = width >= 110
    columns = ["", "node", *(["app"] * with_app), "took", "inference", "overhead"]
    made = table(*columns, right=("took", "inference", "overhead"))
    made.columns[0].min_width = 1
    if whole_us:
        made.add_column(Axis(whole_us), ratio=1)
    for step in steps:
        bar: list[RenderableType] = [TimingBar(step, whole_us)] if whole_us else []
        made.add_row(
            mark(step.status),
            short(step_name(step.node_id, step.attempt), _NODE_WIDTH if width >= 100 else 21),
            *([short(plain(step.app_id or text.UNKNOWN), _NODE_WIDTH)] * with_app),
            text.duration(step.duration_us),
            text.duration(step.inference_us),
            text.duration(step.overhead_us),
            *bar,
        )
    return [made, legend(steps, ascii_only=out().options.ascii_only)] if whole_us else [made]


def step_name(node_id: str, attempt: int) -> str:
    """The node, and the attempt where it is not the first."""
    again = f" #{attempt}" if attempt > 1 else ""
    return f"{plain(node_id) or '(no node)'}{again}"


def short(value: str, width: int) -> Text:
    """A text that is cut to a width, with an ellipsis."""
    shown = Text(value)
    shown.truncate(width, overflow="ellipsis")
    return shown


def failures(run: Run) -> list[Text]:
    """Why the run and its steps failed; a failure both tell of is told once."""
    told: list[Text] = []
    of_steps = [
        (step_name(step.node_id, step.attempt), step.error)
        for step in run.ordered_steps()
        if step.error
    ]
    for name, failure in of_steps:
        told += _failure(f"{name}: ", failure)
    if run.error is not None and run.error not in [failure for _, failure in of_steps]:
        told += _failure("", run.error)
    return told


def _failure(who: str, failure: Failure) -> list[Text]:
    first, *details = content.failure_lines(failure)
    return [Text(f"✗ {who}{first}", style="red"), *(Text(f"  {line}") for line in details)]


def run_view(
    run: Run, *, width: int, opened: Opened | None = None, output: bytes | None = None
) -> list[RenderableType]:
    """All of a run that fits a screen."""
    view: list[RenderableType] = [run_head(run, opened)]
    if run.steps:
        view += ["", *steps_view(run, width=width)]
    if told := failures(run):
        view += ["", *told]
    if said := content.lines(output, width - 8):
        view += ["", *outputs(said)]
    return view


def outputs(said: Sequence[str]) -> list[Text]:
    """Lines of an output under one heading; addresses are left whole."""
    heads = ["output  ", *(["        "] * (len(said) - 1))]
    return [
        Text.assemble((head, "dim"), line, overflow="fold", no_wrap=False)
        for head, line in zip(heads, said, strict=True)
    ]


def events_table(events: Sequence[LoggedEvent], *, width: int) -> Table:
    """A run's events in order, each with what it says, cut to the width."""
    made = table("seq", "at", "event", "node", "what it says", right=("seq", "at"))
    nodes = [short(plain(logged.node_id or ""), 21) for logged in events]
    room = width - 31 - max([4, *(node.cell_len for node in nodes)])
    for logged, node in zip(events, nodes, strict=True):
        made.add_row(
            str(logged.seq),
            f"+{text.duration(logged.elapsed_us)}",
            Text(logged.type, style=_EVENT_COLOURS.get(logged.type, "dim")),
            node,
            short(event_line(logged), max(16, room)),
        )
    return made


def event_line(logged: LoggedEvent) -> str:
    """What an event says, in one line."""
    if logged.frame is None:
        return "(erased)"
    match logged.event:
        case Opened(status=status, workflow=workflow):
            answered = "" if status is None else f", answered {status}"
            return f"{plain(workflow)}{answered}"
        case Completion(output=payload) | Output(output=payload):
            return "; ".join(content.lines(payload))
        case Error(message=message, error=body):
            return plain(message or (body or b"").decode("utf-8", "replace"))
        case Answer():
            return "; ".join(content.lines(logged.frame))
        case Exchange(what=what, status=status, body=body):
            answered = "" if status is None else f" {status}"
            return f"{what}{answered}: {plain(body or '')}"
        case Closed(reason=reason, detail=detail):
            return reason if detail is None else f"{reason}: {plain(detail)}"
        case _:
            return plain(logged.app_id or "") or plain(
                (logged.payload or b"").decode(errors="replace")
            )


def event_row(logged: LoggedEvent) -> Text:
    """An event of the whole log as one line, for following it."""
    return Text.assemble(
        (f"{logged.position:>7} ", "dim"),
        (f"{text.moment(logged.received_at)[11:]} ", "dim"),
        f"{plain(logged.request_id)} ",
        (f"{logged.type:<12} ", _EVENT_COLOURS.get(logged.type, "dim")),
        f"{plain(logged.node_id or '')}  {plain(event_line(logged), 2_000)}".strip(),
    )
