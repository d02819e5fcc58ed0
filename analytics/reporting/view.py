"""What a report looks like: sections of tables and charts, the same in every format.

Cells hold text for people that has been made harmless for a line of text; each format has yet to escape
what it gives a meaning to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from analytics.comparing.evidence import Verdict
from recorder.words import UNKNOWN, duration, plain

Tone = Literal["", "worse", "better", "quiet"]
Link = Callable[[str], str]
"""The address of a run by its request id."""

MOST_ROWS: Final = 60
"""Of a table; a report of thousands of nodes stays readable, and its JSON has all of them."""
_ID_CHARACTERS: Final = 64
_MESSAGE_CHARACTERS: Final = 160


class Cell(msgspec.Struct, frozen=True):
    """A piece of text; `number` is set right, `href` leads to a run."""

    text: str
    href: str | None = None
    number: bool = False
    tone: Tone = ""


class Grid(msgspec.Struct, frozen=True):
    """A table; `left_out` rows are not shown."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    left_out: int = 0


class Series(msgspec.Struct, frozen=True):
    """Values of a chart, one a place; None where there is none. `name` is also its look."""

    name: str
    values: list[float | None]


class Chart(msgspec.Struct, frozen=True):
    """A chart over places in a row.

    Attributes:
        kind: `stack` puts bars on one another, `lines` draws a line a series, `bars` lays stacked bars
            one below the other.
        labels: Of the places.
        in_us: Whether values are times; else they are counts.
    """

    title: str
    kind: Literal["stack", "lines", "bars"]
    labels: list[str]
    series: list[Series]
    in_us: bool


class Section(msgspec.Struct, frozen=True):
    """A heading and what is below it; where it is `drawn`, its charts tell what its tables do."""

    title: str
    notes: list[str]
    grids: list[Grid] = []
    charts: list[Chart] = []
    drawn: bool = False


def grid(caption: str, columns: list[str], rows: list[list[Cell]]) -> Grid:
    """A table of the first rows."""
    return Grid(caption, columns, rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))


def name(value: str | None, *, otherwise: str = UNKNOWN) -> Cell:
    """An id; a long one loses its end."""
    return Cell(plain(value, _ID_CHARACTERS) if value else otherwise)


def message(value: str | None) -> Cell:
    """A line of text of somebody else's."""
    return Cell(plain(value, _MESSAGE_CHARACTERS) if value else "", tone="quiet")


def run(request_id: str, link: Link) -> Cell:
    """A run, with its address."""
    return Cell(plain(request_id, _ID_CHARACTERS), link(request_id))


def time(value_us: float | None) -> Cell:
    """A duration."""
    return Cell(us(value_us), number=True)


def number(value: int) -> Cell:
    """A count."""
    return Cell(f"{value:,}", number=True)


def text(value: str, *, tone: Tone = "") -> Cell:
    """Words of ours."""
    return Cell(value, tone=tone)


def figure(value: str, *, tone: Tone = "") -> Cell:
    """A number that is words already."""
    return Cell(value, number=True, tone=tone)


def verdict(value: Verdict) -> Cell:
    """A verdict, in words and in colour."""
    return Cell(value, tone="quiet" if value == "no evidence" else value)


def us(value_us: float | None) -> str:
    """A duration in words."""
    return duration(None if value_us is None else round(value_us))


def signed_us(value_us: float | None) -> str:
    """A change of a duration: `+310 ms`."""
    if value_us is None:
        return UNKNOWN
    return ("+" if value_us > 0 else "") + us(value_us).replace("-", "−")


def signed_percent(value: float | None) -> str:
    """A change as a share: `+9.8 %`."""
    return UNKNOWN if value is None else f"{value:+.1f} %".replace("-", "−")


def interval_us(low_us: float | None, high_us: float | None) -> str:
    """A confidence interval; open where a limit is not known."""
    if low_us is None and high_us is None:
        return UNKNOWN
    return f"{signed_us(low_us)} … {signed_us(high_us)}"


def share(value: float | None) -> str:
    """A share: `98.4 %`."""
    return UNKNOWN if value is None else f"{value * 100:.1f} %"
