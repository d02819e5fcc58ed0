"""The event log: append-only, hash-chained, dense.

An append is one transaction: lock the head row, take the next positions, link the chain, insert,
move the head (which for a lone event comes first, and is the lock). So position order is commit order,
and a reader that asks for `position > cursor` never misses an event. Nothing but SQL happens while the
lock is held.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, case, func, select

from recorder.errors import LogError
from recorder.events import LoggedEvent, NewEvent
from recorder.store.appending import POSTGRES, SQLITE, Append, Head, Known, Outcome, Receipt
from recorder.store.engine import Database
from recorder.store.signal import CommitSignal
from recorder.store.tables import events, log_head

__all__ = [
    "AppendLog",
    "EventLog",
    "Head",
    "Outcome",
    "Receipt",
    "SqlLog",
    "all_events",
    "run_events",
]

READ_BATCH: Final = 1_000
"""Events a reader takes per query."""

_READ_BYTES: Final = 1024 * 1024
"""A batch ends early once its frames come to this, so that a hundred readers fit in memory."""

_SHORT_BYTES: Final = 2 * 1024
"""Longer frames are read by a second query, once it is known how many: PostgreSQL's driver takes a
whole result into memory before it hands out the first row. `READ_BATCH` short ones are a batch."""

_ROWS_AT_ONCE: Final = 256
"""Rows fetched together; one by one they take a tenth longer."""


class AppendLog(Protocol):
    """What a log writer needs of a log, be it here or behind a recorder service.

    Attributes:
        instance: Names who appends through this object; the runs it opens are its own as long as it
            shows signs of life, see `recorder.lease`.
    """

    instance: str

    def append(self, batch: Sequence[NewEvent]) -> Sequence[Receipt | LogError]:
        """Appends events; durable on return.

        Idempotent: an event that already stands at its `(request_id, seq)` with the same bytes
        gets its first receipt again. One event's refusal does not touch the others.

        Returns:
            For each event, in order, its receipt or the error that refused it.

        Raises:
            LogUnavailable: Nothing is known to be committed; append the same batch again.
        """

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """Up to `limit` events of a run with a seq above `after_seq`, in order of seq."""


class EventLog(AppendLog, Protocol):
    """What every implementation of the log does; the contract suite runs over all of them.

    Attributes:
        commits: Tells of commits made through this object.
    """

    commits: CommitSignal

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """See `AppendLog.append`; all of it is one transaction."""

    def head(self) -> Head:
        """The end of the log as committed."""

    def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
        """Up to `limit` events with a position above `after`, in order of position."""

    def last_of_run(self, request_id: str) -> LoggedEvent | None:
        """The run's latest event; None where there is no such run."""

    def count_erased(self, request_id: str) -> int:
        """How many of the run's events have lost their frame."""

    def append_copies(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """Appends events of runs that were recorded elsewhere, see `append`.

        Nobody records them here, so a run without an end is not taken for one whose recorder died.
        """


class SqlLog:
    """The log on SQLite or PostgreSQL; see `EventLog`. Safe to use from several threads."""

    def __init__(self, database: Database, *, instance: str | None = None) -> None:
        self.instance = instance or str(uuid.uuid4())
        self._database = database
        self._statements = SQLITE if database.is_sqlite else POSTGRES
        self.commits = CommitSignal()
        self._known = Known()

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """See `EventLog.append`."""
        return self._append(batch, self.instance)

    def append_copies(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """See `EventLog.append_copies`."""
        return self._append(batch, None)

    def _append(self, batch: Sequence[NewEvent], owner: str | None) -> list[Outcome]:
        if not batch:
            return []
        with self._database.appending() as cursor:
            known, self._known = self._known, Known()  # forgotten unless all goes well
            outcomes = Append(cursor, self._statements, owner).add(batch, known)
            self._known = known  # should the commit fail, the head will not be the known one
        assert known.head is not None
        self.commits.reached(known.head.position)
        return outcomes

    def head(self) -> Head:
        """See `EventLog.head`."""
        with self._database.reading() as connection:
            row = connection.execute(_HEAD).one_or_none()
        if row is None:
            raise LogError("the log has no head row; the database is damaged")
        return Head(*row)

    def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
        """See `EventLog.read`."""
        with self._database.reading() as connection:
            return _batch(connection, _READ, {"after": after, "limit": limit})

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """See `EventLog.read_run`."""
        parameters = {"request_id": request_id, "after": after_seq, "limit": limit}
        with self._database.reading() as connection:
            return _batch(connection, _READ_RUN, parameters)

    def last_of_run(self, request_id: str) -> LoggedEvent | None:
        """See `EventLog.last_of_run`."""
        with self._database.reading() as connection:
            row = connection.execute(_LAST_OF_RUN, {"request_id": request_id}).one_or_none()
        return None if row is None else LoggedEvent(*row)

    def count_erased(self, request_id: str) -> int:
        """See `EventLog.count_erased`."""
        with self._database.reading() as connection:
            return connection.execute(_ERASED, {"request_id": request_id}).scalar_one()


def _batch(
    connection: Connection, query: Select[Any], parameters: dict[str, Any]
) -> list[LoggedEvent]:
    batch: list[LoggedEvent] = []
    long: list[int] = []  # where in the batch
    size_bytes = 0
    rows = connection.execute(query, parameters).partitions(_ROWS_AT_ONCE)
    for row in chain.from_iterable(rows):
        logged = LoggedEvent(*row[:-1])
        frame_bytes = row[-1] or 0
        if frame_bytes > _SHORT_BYTES:
            long.append(len(batch))
        batch.append(logged)
        size_bytes += frame_bytes
        if size_bytes >= _READ_BYTES:
            break
    if long:
        positions = [batch[index].position for index in long]
        frames = dict(connection.execute(_LONG_FRAMES, {"positions": positions}).all())
        for index in long:
            frame = frames[batch[index].position]
            batch[index] = msgspec.structs.replace(batch[index], frame=frame)
    return batch


def all_events(log: EventLog, after: int = 0, until: int | None = None) -> Iterator[LoggedEvent]:
    """Every event above `after`, up to `until` or the end, read in batches."""
    while batch := log.read(after):
        for logged in batch:
            if until is not None and logged.position > until:
                return
            yield logged
        after = batch[-1].position


def run_events(log: EventLog, request_id: str, after_seq: int = -1) -> Iterator[LoggedEvent]:
    """Every event of a run above `after_seq`, read in batches."""
    while batch := log.read_run(request_id, after_seq):
        yield from batch
        after_seq = batch[-1].seq


_HEAD: Final = select(log_head.c.epoch, log_head.c.position, log_head.c.chain)


def _reading(order: Column[int], *conditions: ColumnElement[bool]) -> Select[Any]:
    """A query for events above `after`: their columns, long frames left out, and the frame's size.

    Both databases tell the length of a frame without reading it.
    """
    size = func.length(events.c.frame)
    short = case((size <= _SHORT_BYTES, events.c.frame))
    columns = [short if column is events.c.frame else column for column in events.c]
    return (
        select(*columns, size)
        .where(order > bindparam("after"), *conditions)
        .order_by(order)
        .limit(bindparam("limit"))
    )


_READ: Final = _reading(events.c.position)
_READ_RUN: Final = _reading(events.c.seq, events.c.request_id == bindparam("request_id"))
_LAST_OF_RUN: Final = (
    select(*events.c)
    .where(events.c.request_id == bindparam("request_id"))
    .order_by(events.c.seq.desc())
    .limit(1)
)
_ERASED: Final = (
    select(func.count())
    .select_from(events)
    .where(events.c.request_id == bindparam("request_id"), events.c.frame.is_(None))
)
_LONG_FRAMES: Final = select(events.c.position, events.c.frame).where(
    events.c.position.in_(bindparam("positions", expanding=True))
)
