"""How composed reports look on a terminal."""

from __future__ import annotations

from io import StringIO
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.reporting.composing import Report
from analytics.reporting.sections import PERCENTILES, sections
from analytics.reporting.summary import summary
from analytics.reporting.view import Chart, Grid, Link, Section, Tone, us
from cli.render import table
from cli.reporting import report_view

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_WIDE: Final = 140
_WIDTH_OF_FILES: Final = 160
_ONLY_WHERE_WIDE: Final = frozenset(
    {"95 % interval", "app", "its message", "inference", "mean", "n after", "n before"}
    | {"opened (UTC)", "overhead", "runs", "status", "steps", "verdict", "workflow", "field"}
)
_TONES: Final[dict[Tone, str]] = {"": "", "worse": "red", "better": "green", "quiet": "dim"}


def composed_view(report: Report, link: Link, *, width: int) -> list[RenderableType]:
    """A whole report: percentiles first, what it comes to last, where a terminal shows it."""
    view = report_view(report.latency, width=width)[:-1] if report.latency.runs else []
    for section in sections(report, link):
        if section.title != PERCENTILES:  # these are above, in a form for terminals
            view += ["", *section_view(section, width=width)]
    view += ["", *(Text(sentence, style="bold") for sentence in summary(report))]
    return [*view, Text(f"as of position {report.as_of_position:,}", style="dim")]


def report_text(report: Report, link: Link) -> str:
    """The same without colours, for a file."""
    console = Console(file=StringIO(), width=_WIDTH_OF_FILES, color_system=None)
    for renderable in composed_view(report, link, width=_WIDTH_OF_FILES):
        console.print(renderable)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def section_view(section: Section, *, width: int) -> list[RenderableType]:
    """A section of a report; a narrow terminal gets the columns that matter most."""
    view: list[RenderableType] = [Text(section.title, style="bold")]
    view += [Text(note, style="dim") for note in section.notes]
    if section.drawn:
        return [*view, *(_sparks(chart) for chart in section.charts)]
    for grid in section.grids:
        view += ["", Text(grid.caption, style="dim"), _grid(grid, narrow=width < _WIDE)]
        if grid.left_out:
            view.append(Text(f"{grid.left_out:,} more with --json", style="dim"))
    return view


def _sparks(chart: Chart) -> Table:
    """A chart over time, a line a series: eighths of a block, the largest value beside them."""
    made = table(chart.title, f"{chart.labels[0]} … {chart.labels[-1]}", "most", right=("most",))
    largest = max((value or 0 for series in chart.series for value in series.values), default=0)
    for series in chart.series:
        most = max((value or 0 for value in series.values), default=0)
        blocks = "".join(_block(value, largest) for value in series.values)
        made.add_row(series.name, blocks, us(most) if chart.in_us else f"{most:,.0f}")
    return made


def _block(value: float | None, largest: float) -> str:
    if not value or not largest:
        return " "
    return _BLOCKS[min(len(_BLOCKS) - 1, int(value / largest * len(_BLOCKS)))]


def _grid(grid: Grid, *, narrow: bool) -> Table:
    shown = [
        place
        for place, column in enumerate(grid.columns)
        if not (narrow and column in _ONLY_WHERE_WIDE)
    ]
    made = table()
    for place in shown:
        number = grid.rows[0][place].number
        made.add_column(
            grid.columns[place],
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in grid.rows:
        made.add_row(*(Text(row[place].text, style=_TONES[row[place].tone]) for place in shown))
    return made
