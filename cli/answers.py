"""How the answer to a single question looks on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from cli import text
from cli.render import short, table

_WIDE: Final = 44
_SHARES: Final = ("share", "share_of_app", "flagged_share")


def answer_view(
    rows: Sequence[Mapping[str, Any]], as_of_position: int, *, width: int
) -> list[RenderableType]:
    """The rows as a table without the columns that tell nothing; one below the other where too wide."""
    names = [
        name for name in rows[0] if name != "link" and any(row[name] is not None for row in rows)
    ]
    cells = [[_cell(name, row[name]) for name in names] for row in rows]
    heads = [_head(name) for name in names]
    widths = [
        max(len(head), *(len(row[place]) for row in cells)) for place, head in enumerate(heads)
    ]
    foot = Text(f"as of position {as_of_position:,}", style="dim")
    if sum(widths) + 2 * len(widths) > max(width, 80):
        return [*_listed(heads, cells), foot]
    numbers = [
        _head(name)
        for name in names
        if all(isinstance(row[name], int | float | Decimal | None) for row in rows)
    ]
    made = table(*heads, right=numbers)
    for row in cells:
        made.add_row(*(short(cell, _WIDE) for cell in row))
    return [made, foot]


def _listed(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[RenderableType]:
    room = max(map(len, heads)) + 2
    view: list[RenderableType] = []
    for row in cells:
        lines = (
            Text.assemble((f"{head:<{room}}", "dim"), cell)
            for head, cell in zip(heads, row, strict=True)
            if cell != text.UNKNOWN
        )
        view += [*lines, ""]
    return view


def _head(name: str) -> str:
    return name.removesuffix("_us").removesuffix("_at").replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return text.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if name.endswith("_us"):
        return text.duration(round(value))
    if name in _SHARES:
        return f"{value:.1%}"
    if isinstance(value, Decimal):
        return f"{value:,.6f}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return text.short_workflow(value) if name == "workflow" else text.plain(value)
