"""Which runs are in which files, and which have to come from SQL: one rule for readers and the exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, or_, select

from analytics.fetching import Which
from analytics.schema import AFTER_LAST_MOMENT_US, FIRST_MOMENT_US
from analytics.segments.catalog import CHANGED_INDEX, Listed, Segment, is_exported
from analytics.segments.files import DAY_US, FORMATS, UNKNOWN_DAY, day_of, day_starts_us
from analytics.segments.folder import Folder
from recorder.store.tables import runs

OPENED_INDEX: Final = "ix_runs_generation_opened_at"
OPEN_INDEX: Final = "ix_runs_open"


class Plan(NamedTuple):
    """Where the rows of an answer come from.

    Attributes:
        segments: Files whose rows count, all but those of `not_counting`.
        not_counting: Runs whose rows in files do not count.
        tail: Runs whose rows come from SQL; no run is in two of them.
        damaged: Days of which a file is of no use (`damaged_days`); all their rows come from SQL.
    """

    segments: list[Segment]
    not_counting: list[str]
    tail: list[Which]
    damaged: set[str]


def plan(
    listed: Listed,
    folder: Folder,
    *,
    since_us: int | None,
    until_us: int | None,
    narrow: Sequence[ColumnElement[bool]] = (),
    of_steps: Mapping[str, str],
) -> Plan:
    """Splits what was opened in a window between files and SQL.

    Args:
        listed: What counts.
        folder: Where the files are.
        since_us: The window's start; None for none.
        until_us: Its end, outside it.
        narrow: Conditions on `runs` for what comes from SQL.
        of_steps: What columns of `steps` have to be, for what comes from SQL.
    """
    wanted = [each for each in listed.segments if _touches(each, since_us, until_us)]
    damaged = damaged_days(folder, wanted)
    generation, exported = listed.projected.generation, is_exported(listed.exported)
    tail = [
        *tail_of(listed, narrow, of_steps),
        *(_again(generation, day, (exported, *narrow), of_steps) for day in sorted(damaged)),
    ]
    intact = [each for each in wanted if each.day not in damaged]
    return Plan(intact, listed.superseded, tail, damaged)


def tail_of(
    listed: Listed,
    narrow: Sequence[ColumnElement[bool]] = (),
    of_steps: Mapping[str, str] = MappingProxyType({}),
) -> list[Which]:
    """The runs that are in no segment; no run is in two of them. Arguments as `plan` has them."""
    generation, position = listed.projected.generation, listed.exported.position
    if not position:
        return [Which(generation, narrow, of_steps=of_steps)]
    changed = runs.c.as_of_position > position
    still_open = (runs.c.closed_at.is_(None), runs.c.as_of_position <= position)
    return [
        Which(generation, (changed, *narrow), by_index=CHANGED_INDEX, of_steps=of_steps),
        Which(generation, (*still_open, *narrow), by_index=OPEN_INDEX, of_steps=of_steps),
    ]


def _again(
    generation: int,
    day: str,
    conditions: Sequence[ColumnElement[bool]],
    of_steps: Mapping[str, str],
) -> Which:
    if day == UNKNOWN_DAY:
        return Which(generation, (of_day(day), *conditions), of_steps=of_steps)
    order = (runs.c.opened_at, runs.c.request_id)
    return Which(generation, (of_day(day), *conditions), order, OPENED_INDEX, of_steps)


def whole_day(listed: Listed, day: str) -> Which:
    """The runs of a day that belong into files, in the order they stand there."""
    return _again(listed.exported.generation, day, (is_exported(listed.exported),), {})


def of_day(day: str) -> ColumnElement[bool]:
    """Of a run: whether it belongs to a day."""
    opened_at = runs.c.opened_at
    if day == UNKNOWN_DAY:
        return or_(
            opened_at.is_(None), opened_at < FIRST_MOMENT_US, opened_at >= AFTER_LAST_MOMENT_US
        )
    starts_us = day_starts_us(day)
    return opened_at.between(starts_us, starts_us + DAY_US - 1)


def _touches(segment: Segment, since_us: int | None, until_us: int | None) -> bool:
    if since_us is None and until_us is None:
        return True
    first, last = segment.first_opened_at, segment.last_opened_at
    if first is None or last is None:
        return False  # no window holds a run that nobody knows the beginning of
    return (since_us is None or last >= since_us) and (until_us is None or first < until_us)


def damaged_days(folder: Folder, segments: Sequence[Segment]) -> set[str]:
    """Days of which a file is missing, not as long as it was, or has another version's columns."""
    return {each.day for each in segments if not _is_whole(folder, each)}


def _is_whole(folder: Folder, segment: Segment) -> bool:
    current = segment.format == FORMATS[segment.kind]
    return current and folder.is_there(segment.name, segment.size_bytes)


def days_of(connection: Connection, listed: Listed, request_ids: Sequence[str]) -> dict[str, str]:
    """The days of those runs among some that belong into files."""
    days: dict[str, str] = {}
    for start in range(0, len(request_ids), 1_000):
        query = select(runs.c.request_id, runs.c.opened_at).where(
            runs.c.generation == listed.exported.generation,
            runs.c.request_id.in_(request_ids[start : start + 1_000]),
            is_exported(listed.exported),
        )
        rows = connection.execute(query)
        days |= {request_id: day_of(opened_at) for request_id, opened_at in rows}
    return days
