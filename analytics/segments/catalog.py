"""Which segments count, in SQL.

A file is listed before its first byte is written (`writing`), counts from the transaction that makes it
`live`, and is deleted some time after the one that makes it `dropped`, for readers may hold an older list. So no
crash leaves a file that nobody knows of. Every function works inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from recorder.store.generations import RUNS, Checkpoint, move_checkpoint, read_checkpoint
from recorder.store.tables import erased_runs, events, projections, runs, segments

Kind = Literal["runs", "steps", "events"]


class Columns(NamedTuple):
    """A set of segments that move on together.

    Attributes:
        name: Of its checkpoint among the projections'.
        kinds: What it has segments of.
    """

    name: str
    kinds: tuple[Kind, ...]


RUNS_AND_STEPS: Final = Columns("columns", ("runs", "steps"))
EVENTS: Final = Columns("columns.events", ("events",))


CHANGED_INDEX: Final = "ix_runs_generation_as_of_position"
"""Finds in SQLite, which keeps no statistics to choose by, what has changed since a position."""


class Segment(msgspec.Struct, frozen=True):
    """A file.

    Attributes:
        name: Its path below the folder.
        day: Of its runs, as in the path; `unknown` for runs that no event tells the beginning of.
        format: Which columns it has, see `files.FORMATS`.
        first_opened_at, last_opened_at: Of its runs, microseconds since 1970; None where none is known.
    """

    name: str
    kind: Kind
    day: str
    format: int
    rows: int = 0
    size_bytes: int = 0
    first_opened_at: int | None = None
    last_opened_at: int | None = None


class Listed(msgspec.Struct, frozen=True):
    """What counts, as of one transaction.

    Attributes:
        projected: How far runs are folded; an answer is as of this position.
        exported: Closed runs up to here are in segments; at position 0 none are.
        segments: The files; none at position 0.
        superseded: Runs that stand in a segment and have changed since; their rows there do not count.
        erased: Runs that lost frames since their events were put into segments, and how often this was noted; none
            where the set is not of events.
    """

    projected: Checkpoint
    exported: Checkpoint
    segments: list[Segment]
    superseded: list[str]
    erased: dict[str, int]


_FIELDS: Final = [segments.c[name] for name in Segment.__struct_fields__]


def read_listed(connection: Connection, columns: Columns) -> Listed:
    """What counts now. Segments of another generation or another log do not."""
    projected = read_checkpoint(connection, RUNS)
    exported = read_exported(connection, columns)
    if not _holds(connection, exported, projected):
        return Listed(projected, Checkpoint(projected.generation, 0), [], [], {})
    query = select(*_FIELDS).where(segments.c.kind.in_(columns.kinds), segments.c.state == "live")
    listed = [Segment(*row) for row in connection.execute(query.order_by(segments.c.name))]
    # Who holds no frames must not take a note off that is for those who do.
    erased = _read_erased(connection) if "events" in columns.kinds else {}
    superseded = _superseded(connection, exported)
    return Listed(projected, exported, listed, superseded, erased)


def _read_erased(connection: Connection) -> dict[str, int]:
    noted = connection.execute(select(erased_runs.c.request_id, erased_runs.c.times))
    return {request_id: times for request_id, times in noted}  # noqa: C416  # rows are no pairs to dict()


class Mark(NamedTuple):
    """What tells one state of a set from another: rows and files change with it only.

    Attributes:
        projected, exported: As `Listed` has them.
        names: Of the files that are listed as counting, be it rightly or not.
    """

    projected: Checkpoint
    exported: Checkpoint
    names: tuple[str, ...]


def read_mark(connection: Connection, columns: Columns) -> Mark:
    """The mark of what counts now; much quicker than reading that."""
    checkpoints, names = _mark_queries(columns)
    known = {name: Checkpoint(*rest) for name, *rest in connection.execute(checkpoints)}
    live = connection.execute(names).scalars()
    none = Checkpoint(0, 0)
    return Mark(known.get(RUNS, none), known.get(columns.name, none), tuple(live))


@cache
def _mark_queries(columns: Columns) -> tuple[Select[Any], Select[Any]]:
    checkpoint = (projections.c.generation, projections.c.position, projections.c.chain)
    of_both = projections.c.name.in_([RUNS, columns.name])
    live = and_(segments.c.kind.in_(columns.kinds), segments.c.state == "live")
    return (
        select(projections.c.name, *checkpoint).where(of_both),
        select(segments.c.name).where(live).order_by(segments.c.name),
    )


def without_segments(listed: Listed) -> Listed:
    """The same with nothing in segments."""
    return Listed(listed.projected, Checkpoint(listed.projected.generation, 0), [], [], {})


def read_exported(connection: Connection, columns: Columns, *, lock: bool = False) -> Checkpoint:
    """How far a set has come; position 0 of no generation where it never began."""
    query = select(projections.c.generation, projections.c.position, projections.c.chain).where(
        projections.c.name == columns.name
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return Checkpoint(0, 0) if row is None else Checkpoint(*row)


def _holds(connection: Connection, exported: Checkpoint, projected: Checkpoint) -> bool:
    """Whether segments are those of the live generation, and of this log."""
    if exported.generation != projected.generation:
        return False
    if not 0 < exported.position <= projected.position:
        return False
    there = chain_at(connection, exported.position)
    return there is not None and there == exported.chain


def chain_at(connection: Connection, position: int) -> bytes | None:
    """The log's chain at a position."""
    query = select(events.c.chain).where(events.c.position == position)
    return connection.execute(query).scalar_one_or_none()


def _superseded(connection: Connection, exported: Checkpoint) -> list[str]:
    """Runs that were exported, for they were closed by then, and have changed since.

    The log takes nothing for a closed run, so there are none unless somebody wrote past it.
    """
    closed = exists().where(
        events.c.request_id == runs.c.request_id,
        events.c.type == "closed",
        events.c.position <= exported.position,
    )
    query = (
        select(runs.c.request_id)
        .with_hint(runs, f"INDEXED BY {CHANGED_INDEX}", "sqlite")
        .where(
            runs.c.generation == exported.generation,
            runs.c.as_of_position > exported.position,
            runs.c.first_position <= exported.position,
            closed,
        )
    )
    return list(connection.execute(query).scalars())


def is_exported(exported: Checkpoint) -> ColumnElement[bool]:
    """Of a run: whether its rows belong into segments at this checkpoint."""
    return and_(runs.c.closed_at.isnot(None), runs.c.as_of_position <= exported.position)


def claim(connection: Connection, columns: Columns, *, since_us: int) -> Checkpoint | None:
    """Makes the caller the one that exports; its checkpoint, or None where another one is at work.

    What a dead exporter left half-written is dropped. One that is alive and slow loses its files
    and its next commit.

    Args:
        connection: A writing transaction.
        columns: What to export.
        since_us: Another's files that are being written since before then are a dead one's.
    """
    if read_exported(connection, columns) == Checkpoint(0, 0):
        _begin(connection, columns)
    exported = read_exported(connection, columns, lock=True)
    writing = and_(segments.c.kind.in_(columns.kinds), segments.c.state == "writing")
    at_work = select(segments.c.name).where(writing, segments.c.since_us > since_us)
    if connection.execute(at_work).first() is not None:
        return None
    connection.execute(update(segments).where(writing).values(state="dropped", since_us=0))
    return exported


def _begin(connection: Connection, columns: Columns) -> None:
    own = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = own(projections).values(name=columns.name, generation=0, position=0)
    connection.execute(row.on_conflict_do_nothing())


def list_as_writing(connection: Connection, files: Iterable[Segment], *, now_us: int) -> None:
    """Notes files before they are written."""
    rows = [
        msgspec.structs.asdict(file) | {"state": "writing", "since_us": now_us} for file in files
    ]
    if rows:
        connection.execute(insert(segments), rows)


class Overtaken(Exception):
    """Another exporter was here since the claim; what was written is of no use."""


class Change(NamedTuple):
    """What a round did.

    Attributes:
        start, end: The checkpoint it began from, and where that goes.
        written: Files to count from now on; those of size 0 were not needed.
        replaced: Names of files that count no more.
        erased: Runs no file holds an erased frame of, as they were noted when they were read.
    """

    start: Checkpoint
    end: Checkpoint
    written: Sequence[Segment]
    replaced: Sequence[str] = ()
    erased: Mapping[str, int] = {}


def commit(connection: Connection, columns: Columns, change: Change, *, now_us: int) -> None:
    """Makes a round count, all of it or nothing.

    Raises:
        Overtaken: Roll back.
    """
    if read_exported(connection, columns, lock=True) != change.start:
        raise Overtaken
    for file in change.written:
        listed = and_(segments.c.name == file.name, segments.c.state == "writing")
        values = msgspec.structs.asdict(file) | {"state": "live", "since_us": now_us}
        made = (
            update(segments).where(listed).values(values)
            if file.size_bytes
            else delete(segments).where(listed)
        )
        if connection.execute(made).rowcount != 1:
            raise Overtaken
    drop(connection, change.replaced, now_us=now_us)
    for request_id, times in change.erased.items():
        # Only as noted when the frames were read: what was erased since is still to be done.
        noted = and_(erased_runs.c.request_id == request_id, erased_runs.c.times == times)
        connection.execute(delete(erased_runs).where(noted))
    if change.end != change.start:
        move_checkpoint(connection, columns.name, change.end)


def abandon(connection: Connection, names: Sequence[str]) -> None:
    """Gives up files that do not count yet; those that do, for the answer to their commit was lost, stay."""
    if names:
        writing = and_(segments.c.name.in_(names), segments.c.state == "writing")
        connection.execute(update(segments).where(writing).values(state="dropped", since_us=0))


def drop(connection: Connection, names: Sequence[str], *, now_us: int) -> None:
    """Takes files out of those that count."""
    if names:
        dropped = update(segments).where(segments.c.name.in_(names))
        connection.execute(dropped.values(state="dropped", since_us=now_us))


def has_live(connection: Connection, columns: Columns) -> bool:
    """Whether any file of a set is listed as counting, be it rightly or not."""
    live = and_(segments.c.kind.in_(columns.kinds), segments.c.state == "live")
    return connection.execute(select(segments.c.name).where(live).limit(1)).first() is not None


def start_over(connection: Connection, columns: Columns, generation: int, *, now_us: int) -> None:
    """Drops every file; the log is put into segments from its beginning."""
    kinds = segments.c.kind.in_(columns.kinds)
    live = and_(kinds, segments.c.state == "live")
    connection.execute(update(segments).where(live).values(state="dropped", since_us=now_us))
    move_checkpoint(connection, columns.name, Checkpoint(generation, 0))


def to_delete(connection: Connection, columns: Columns, *, since_us: int) -> list[str]:
    """Files dropped before then."""
    query = select(segments.c.name).where(
        segments.c.kind.in_(columns.kinds),
        segments.c.state == "dropped",
        segments.c.since_us <= since_us,
    )
    return list(connection.execute(query).scalars())


def forget(connection: Connection, names: Sequence[str]) -> None:
    """Takes files that are deleted off the list."""
    if names:
        connection.execute(delete(segments).where(segments.c.name.in_(names)))
