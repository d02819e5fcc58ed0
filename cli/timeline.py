"""The timing bar: where a step lies within its run, and what part of it was inference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from cli import text
from recorder.projections.runs import Run
from recorder.projections.steps import Step

_MIN_WIDTH: Final = 12
_MAX_WIDTH: Final = 48

_INFERENCE, _OVERHEAD, _UNSPLIT, _OPEN, _POINT = range(5)
_GLYPHS: Final = "█░▓╌◆"
_ASCII_GLYPHS: Final = "#.=-*"

Part = tuple[int, int]
"""A kind of cell and how many of them."""


def span_us(run: Run) -> int:
    """What the bars of a run are drawn against: its duration, else the latest time it knows."""
    if run.duration_us is not None:
        return run.duration_us
    times = [
        time_us
        for step in run.steps.values()
        for time_us in (step.submitted_us, step.finished_us)
        if time_us is not None
    ]
    return max(times, default=0)


def parts(step: Step, whole_us: int, width: int) -> list[tuple[int | None, int]]:
    """Cuts a row of `width` cells into the blank before the step and the step's parts.

    Overhead is drawn first: most of it is waiting for a machine, though the stream does not say.
    A step that took any time has at least one cell. The kind None is blank.
    """
    if whole_us <= 0:
        return []
    start_us, end_us = step.submitted_us, step.finished_us
    if start_us is None:
        if end_us is None:
            return []
        at = min(width - 1, round(end_us * width / whole_us))
        return [(None, at), (_POINT, 1)]
    first = min(width - 1, round(start_us * width / whole_us))
    last = width if end_us is None else min(width, round(end_us * width / whole_us))
    cells = max(1, last - first)
    return [(None, first), *_filled(step, cells)]


def _filled(step: Step, cells: int) -> list[Part]:
    duration_us, inference_us = step.duration_us, step.inference_us
    if duration_us is None:
        return [(_OPEN, cells)]
    if inference_us is None:
        return [(_UNSPLIT, cells)]
    share = min(1.0, inference_us / duration_us) if duration_us else 1.0
    inference = round(share * cells)
    return [(_OVERHEAD, cells - inference), (_INFERENCE, inference)]


class TimingBar:
    """One step's bar; takes the width it is given, up to a limit."""

    def __init__(self, step: Step, whole_us: int) -> None:
        self._step = step
        self._whole_us = whole_us

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _MAX_WIDTH)
        glyphs = _ASCII_GLYPHS if options.ascii_only else _GLYPHS
        for kind, cells in parts(self._step, self._whole_us, width):
            if kind is None:
                yield Segment(" " * cells)
            else:
                yield Segment(glyphs[kind] * cells, _style(kind, self._step))
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_MIN_WIDTH, _MAX_WIDTH)


class Axis:
    """The bars' scale, for the head of their column: `0 ──────── 2.17 s`."""

    def __init__(self, whole_us: int) -> None:
        self._end = text.duration(whole_us)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _MAX_WIDTH)
        line = "-" if options.ascii_only else "─"
        room = width - len(self._end) - 3
        yield Text(f"0 {line * room} {self._end}" if room > 0 else self._end, style="dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_MIN_WIDTH, _MAX_WIDTH)


def legend(steps: Iterable[Step], *, ascii_only: bool) -> Text:
    """Explains the shades that these steps' bars use, and no others."""
    glyphs = _ASCII_GLYPHS if ascii_only else _GLYPHS
    used = {kind for step in steps for kind in _kinds(step)}
    names = ("inference", "waiting and overhead", "took, inference not told", "did not end")
    said = [f"{glyphs[kind]} {name}" for kind, name in enumerate(names) if kind in used]
    if _POINT in used:
        said.append(f"{glyphs[_POINT]} finished, start not seen")
    return Text("  " + "   ".join(said), style="dim")


def _kinds(step: Step) -> tuple[int, ...]:
    if step.submitted_us is None:
        return (_POINT,)
    if step.duration_us is None:
        return (_OPEN,)
    return (_UNSPLIT,) if step.inference_us is None else (_INFERENCE, _OVERHEAD)


def _style(kind: int, step: Step) -> Style:
    if step.status == "failed":
        return Style(color="red")
    match kind:
        case 0 | 4:
            return Style(color="green")
        case 1:
            return Style(color="yellow", dim=True)
        case 2:
            return Style(color="cyan")
        case _:
            return Style(dim=True)
