"""The relation `events` of a snapshot: out of segments where a run's events are there, else out of the log.

Frames may be long, so the log is read a few runs at a time, anew for every query that asks for events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import ColumnElement

from analytics.engine import literal
from analytics.relations import make_view, scan, select_rows
from analytics.schema import EVENTS
from analytics.segments.catalog import Listed, Segment
from analytics.segments.event_rows import events_of
from analytics.segments.folder import Folder
from analytics.segments.reading import damaged_days
from analytics.selection import Selection
from recorder.events import lift
from recorder.store.engine import Database
from recorder.store.tables import events

_RUNS_AT_ONCE = 512


class EventStream:
    """Events of some runs out of the log, a stream for everyone who asks for one.

    Args:
        database: Where the log is.
        opened: The runs, and when each was opened.
        until: The position of the last event.
        conditions: On columns of the table `events`.
    """

    def __init__(
        self,
        database: Database,
        opened: pa.Table,
        until: int,
        conditions: list[ColumnElement[bool]],
    ) -> None:
        self._database = database
        self._opened = opened
        self._until = until
        self._conditions = conditions

    def __arrow_c_schema__(self) -> object:
        return EVENTS.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(EVENTS, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Some MiB of events at a time."""
        for start in range(0, self._opened.num_rows, _RUNS_AT_ONCE):
            some = self._opened.slice(start, _RUNS_AT_ONCE)
            ids = some.column("request_id").to_pylist()
            opened = dict.fromkeys(ids)
            with self._database.reading() as connection:
                rows = events_of(connection, opened, until=self._until, conditions=self._conditions)
                for table in rows:
                    yield from table.select(EVENTS.names).to_batches()


def add_events(
    connection: duckdb.DuckDBPyConnection,
    database: Database,
    folder: Folder | None,
    listed: Listed,
    selection: Selection,
) -> None:
    """Makes `events` out of `runs`, which says whose events they are, in the same connection.

    Args:
        connection: Has the relation `runs`.
        database: Where the log is.
        folder: Where segments are; None reads none.
        listed: Which segments of events count, as of when `runs` was read.
        selection: What `runs` was narrowed to; of a node or an app, only events that name it.
    """
    segments = [] if folder is None else listed.segments
    damaged = set() if folder is None else damaged_days(folder, segments)
    files = [each for each in segments if each.day not in damaged]
    in_files = _in_files(listed, files, damaged) if folder is not None else "false"
    of_node = _of_node(selection)
    columns = "request_id, opened_at"
    rest: Any = connection.sql(f"SELECT {columns} FROM runs WHERE NOT ({in_files})")
    stream = EventStream(database, rest.to_arrow_table(), listed.projected.position, of_node)
    connection.register("log_events", stream)
    conditions = [f"request_id IN (SELECT request_id FROM runs WHERE {in_files})"]
    conditions += _as_literals(selection)
    paths = [] if folder is None else [folder.local(each.name) for each in files]
    queries = [select_rows("events", "log_events")]
    if paths:
        queries.append(select_rows("events", scan(paths), conditions))
    make_view(connection, "events", " UNION ALL ".join(queries))


def _in_files(listed: Listed, files: list[Segment], damaged: set[str]) -> str:
    """Of a row of `runs`: whether its events are in segments, all of them and as they are now."""
    if not files:
        return "false"
    conditions = ["closed_at IS NOT NULL", f"as_of_position <= {listed.exported.position}"]
    if listed.erased:
        conditions.append(f"request_id NOT IN (SELECT unnest({literal(list(listed.erased))}))")
    if damaged:
        day = "coalesce(strftime(opened_at, '%Y-%m-%d'), 'unknown')"
        conditions.append(f"{day} NOT IN (SELECT unnest({literal(sorted(damaged))}))")
    return " AND ".join(conditions)


def _of_node(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.node is not None:
        conditions.append(events.c.node_id == lift(selection.node))
    if selection.app is not None:
        conditions.append(events.c.app_id == lift(selection.app))
    return conditions


def _as_literals(selection: Selection) -> list[str]:
    conditions = []
    if selection.node is not None:
        conditions.append(f"node_id = {literal(lift(selection.node))}")
    if selection.app is not None:
        conditions.append(f"app_id = {literal(lift(selection.app))}")
    return conditions
