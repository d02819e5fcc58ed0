"""What a query's process is given to read: files, and rows handed over by us, so that it needs no database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

import msgspec
import pyarrow as pa
from sqlalchemy import Connection, not_, select

from analytics.archive import Archive
from analytics.fetching import chunks, run_batches
from analytics.relations import Kind
from analytics.rows import Batches, batches_of
from analytics.schema import EVENTS, RUNS, STEPS
from analytics.segments import catalog
from analytics.segments.catalog import Segment
from analytics.segments.event_rows import events_of
from analytics.segments.reading import Plan, damaged_days
from analytics.selection import Selection
from recorder.store.tables import runs


class Source(msgspec.Struct, frozen=True):
    """Where the rows of a relation come from; none is in two of them.

    Attributes:
        rest: Rows that are in no file; read once.
        files: Parquet files.
        segments: What these are.
        not_counting: Runs whose rows in the files do not count.
    """

    rest: Batches
    files: list[str] = []
    segments: list[Segment] = []
    not_counting: list[str] = []


class Supply(msgspec.Struct, frozen=True):
    """Relations, all of one state of what is recorded.

    Attributes:
        as_of_position: The log position of that state.
        relations: By name; the rest of each is to be read in this order.
    """

    as_of_position: int
    relations: Mapping[Kind, Source]


@contextmanager
def supply(archive: Archive, names: Collection[Kind]) -> Iterator[Supply]:
    """The relations of these names, as of now.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with archive.database.reading() as connection:
        planned, position = archive.plan(connection, Selection())
        relations = {name: _source(archive, connection, planned, name) for name in names}
        yield Supply(position, relations)


def write_relation(batches: Batches, sink: IO[bytes]) -> None:
    """Writes rows as an Arrow IPC stream."""
    with pa.ipc.new_stream(sink, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)


def _source(archive: Archive, connection: Connection, planned: Plan, name: str) -> Source:
    segments = [each for each in planned.segments if each.kind == name]
    files = archive.files_of(segments)
    match name:
        case "runs":
            rest = (batch for which in planned.tail for batch in run_batches(connection, which))
            return Source(Batches(RUNS, rest), files, segments, planned.not_counting)
        case "steps":
            rest = (chunk.steps for which in planned.tail for chunk in chunks(connection, which))
            return Source(Batches(STEPS, rest), files, segments, planned.not_counting)
        case _:
            return _events(archive, connection)


def _events(archive: Archive, connection: Connection) -> Source:
    """Events out of files as far as all of these are as they should be, else all out of the log."""
    listed = catalog.read_listed(connection, catalog.EVENTS)
    folder = archive.folder
    if (
        folder is None
        or not listed.segments
        or listed.erased
        or damaged_days(folder, listed.segments)
    ):
        return Source(batches_of("events", connection, listed.projected, Selection()))
    beyond = select(runs.c.request_id).where(
        runs.c.generation == listed.projected.generation, not_(catalog.is_exported(listed.exported))
    )
    opened = dict.fromkeys(connection.execute(beyond).scalars())
    rows = events_of(connection, opened, until=listed.projected.position)
    rest = (batch for table in rows for batch in table.select(EVENTS.names).to_batches())
    files = archive.files_of(listed.segments)
    return Source(Batches(EVENTS, rest), files, listed.segments, listed.superseded)
