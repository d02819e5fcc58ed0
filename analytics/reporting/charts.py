"""Charts as shapes: what the template draws as SVG. Pixels, the origin at the top left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from analytics.reporting.view import Chart, us

_WIDTH: Final = 960
_HEIGHT: Final = 220
_LEFT: Final = 70
_TOP: Final = 12
_BOTTOM: Final = 24
_ROW: Final = 26
_NAMES: Final = 300
_TICKS: Final = 4
_LABELS: Final = 5
_HALF_A_LABEL: Final = 60
_NAME_CHARACTERS: Final = 38


class Box(msgspec.Struct, frozen=True):
    """A bar; `look` numbers its series."""

    look: int
    x: float
    y: float
    width: float
    height: float
    title: str


class Line(msgspec.Struct, frozen=True):
    """A line of a series, as an SVG path; dots stand for values without neighbours."""

    look: int
    path: str
    dots: list[tuple[float, float]]


class Label(msgspec.Struct, frozen=True):
    """A word; `anchor` as SVG means it."""

    x: float
    y: float
    text: str
    anchor: str


class Drawing(msgspec.Struct, frozen=True):
    """A chart to be drawn; `rules` are heights of lines across."""

    title: str
    described: str
    width: int
    height: int
    names: list[str]
    boxes: list[Box]
    lines: list[Line]
    labels: list[Label]
    rules: list[float]
    left: int


def draw(chart: Chart) -> Drawing:
    """The shapes of a chart."""
    return _bars(chart) if chart.kind == "bars" else _over_time(chart)


def _over_time(chart: Chart) -> Drawing:
    top = _nice(_largest(chart))
    inner = _HEIGHT - _TOP - _BOTTOM
    ticks = [top * tick / _TICKS for tick in range(_TICKS + 1)]
    heights = [_TOP + inner * (1 - value / top) for value in ticks]
    labels = [
        Label(_LEFT - 8, height + 4, _worded(chart, value), "end")
        for value, height in zip(ticks, heights, strict=True)
    ]
    places = len(chart.labels)
    labels += [
        Label(_x(place, places), _HEIGHT - 6, chart.labels[place], _anchor(place, places))
        for place in range(0, places, max(1, math.ceil(places / _LABELS)))
    ]
    stacked = chart.kind == "stack"
    return Drawing(
        title=chart.title,
        described=_described(chart),
        width=_WIDTH,
        height=_HEIGHT,
        names=[series.name for series in chart.series],
        boxes=list(_stack(chart, top)) if stacked else [],
        lines=[] if stacked else [_line(chart, look, top) for look in range(len(chart.series))],
        labels=labels,
        rules=heights,
        left=_LEFT,
    )


def _stack(chart: Chart, top: float) -> Iterator[Box]:
    places = len(chart.labels)
    width = (_WIDTH - _LEFT) / places
    inner = _HEIGHT - _TOP - _BOTTOM
    for place, label in enumerate(chart.labels):
        height = float(_HEIGHT - _BOTTOM)
        for look, series in enumerate(chart.series):
            value = series.values[place] or 0
            if value > 0:
                size = inner * value / top
                height -= size
                title = f"{label}: {value:,} {series.name}"
                x = _LEFT + place * width + width * 0.1
                yield Box(look, _px(x), _px(height), _px(width * 0.8), _px(size), title)


def _line(chart: Chart, look: int, top: float) -> Line:
    """Values with a hole between them are not joined."""
    inner = _HEIGHT - _TOP - _BOTTOM
    values = chart.series[look].values
    points = [
        None if value is None else (_x(place, len(values)), _px(_TOP + inner * (1 - value / top)))
        for place, value in enumerate(values)
    ]
    path: list[str] = []
    dots: list[tuple[float, float]] = []
    for place, point in enumerate(points):
        if point is None:
            continue
        joined = place > 0 and points[place - 1] is not None
        path.append(f"{'L' if joined else 'M'}{point[0]} {point[1]}")
        if not joined and (place + 1 == len(points) or points[place + 1] is None):
            dots.append(point)
    return Line(look, " ".join(path), dots)


def _bars(chart: Chart) -> Drawing:
    top = max((sum(_values(chart, place)) for place in range(len(chart.labels))), default=0) or 1
    boxes: list[Box] = []
    labels: list[Label] = []
    for place, label in enumerate(chart.labels):
        x, y = float(_NAMES), place * _ROW
        short = label if len(label) <= _NAME_CHARACTERS else label[: _NAME_CHARACTERS - 1] + "…"
        labels.append(Label(_NAMES - 10, y + 17, short, "end"))
        for look, value in enumerate(_values(chart, place)):
            width = (_WIDTH - _NAMES - 90) * value / top
            title = f"{label}: {_worded(chart, value)} {chart.series[look].name}"
            if width > 0:
                boxes.append(Box(look, _px(x), y + 4, _px(width), _ROW - 8, title))
            x += width
        total = _worded(chart, sum(_values(chart, place)))
        labels.append(Label(_px(x) + 8, y + 17, total, "start"))
    return Drawing(
        title=chart.title,
        described=_described(chart),
        width=_WIDTH,
        height=_ROW * len(chart.labels),
        names=[series.name for series in chart.series],
        boxes=boxes,
        lines=[],
        labels=labels,
        rules=[],
        left=_NAMES,
    )


def _values(chart: Chart, place: int) -> list[float]:
    return [series.values[place] or 0 for series in chart.series]


def _largest(chart: Chart) -> float:
    if chart.kind == "stack":
        return max((sum(_values(chart, place)) for place in range(len(chart.labels))), default=0)
    return max((value or 0 for series in chart.series for value in series.values), default=0)


def _nice(value: float) -> float:
    """The next number that four ticks divide into readable ones."""
    if value <= 0:
        return float(_TICKS)
    unit: float = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8)
    return next((step * unit for step in steps if value <= step * unit), 10 * unit)


def _worded(chart: Chart, value: float) -> str:
    if chart.in_us and value:
        return us(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _described(chart: Chart) -> str:
    """The chart in words, for those who do not see it."""
    if not chart.labels:
        return "Empty."
    names = " and ".join(series.name for series in chart.series)
    most = _worded(chart, _largest(chart) if chart.kind != "bars" else max(_values(chart, 0)))
    return f"{names}; {len(chart.labels)} places from {chart.labels[0]} to {chart.labels[-1]}; at most {most}."


def _x(place: int, places: int) -> float:
    return _px(_LEFT + (place + 0.5) * (_WIDTH - _LEFT) / places)


def _anchor(place: int, places: int) -> str:
    """Words at the right end stay inside; at the left there is room for the numbers."""
    return "end" if _x(place, places) > _WIDTH - _HALF_A_LABEL else "middle"


def _px(value: float) -> float:
    return round(value, 1)
