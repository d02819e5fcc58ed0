"""A report as Markdown, in the tables GitHub and most others know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from analytics.reporting.composing import Report
from analytics.reporting.sections import sections
from analytics.reporting.summary import summary, window
from analytics.reporting.view import Cell, Grid, Link

_MEANT: Final = re.compile(r"[\\`*_{}\[\]<>|~&$@#!]")


def as_markdown(report: Report, link: Link) -> str:
    """The whole document; whatever could mean something to Markdown is escaped."""
    return "\n".join(_lines(report, link)) + "\n"


def _lines(report: Report, link: Link) -> Iterator[str]:
    yield f"# Workflow report: runs {escaped(window(report))}"
    for sentence in summary(report):
        yield from ("", escaped(sentence))
    for section in sections(report, link):
        yield from ("", f"## {section.title}")
        for note in section.notes:
            yield from ("", escaped(note))
        for grid in section.grids:
            yield from _table(grid)
    yield from (
        "",
        f"Derived from the log up to position {report.as_of_position:,}. Times are UTC.",
    )


def _table(grid: Grid) -> Iterator[str]:
    numbers = [cell.number for cell in grid.rows[0]]
    yield from ("", f"**{escaped(grid.caption)}**", "")
    yield f"| {' | '.join(grid.columns)} |"
    yield f"|{'|'.join('--:' if number else '---' for number in numbers)}|"
    for row in grid.rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    if grid.left_out:
        yield from ("", f"{grid.left_out:,} more rows are in the report's JSON.")


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    if cell.tone in ("worse", "better"):
        text = f"**{text}**"
    # A percent-encoded address holds nothing but what Markdown takes as it is, once in angle brackets.
    return text if cell.href is None else f"[{text}](<{cell.href}>)"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a line of its own or in a table."""
    return _MEANT.sub(r"\\\g<0>", text)
