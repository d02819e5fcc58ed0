"""The event log: append-only, hash-chained, dense.

An append is one transaction: lock the head row, take the next positions, link the chain, insert,
move the head. So position order is commit order, and a reader that asks for `position > cursor`
never misses an event. Nothing but SQL happens while the lock is held.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, Row, bindparam, select, text

from recorder import chain
from recorder.errors import LogError, RunClosed, SequenceConflict
from recorder.events import LoggedEvent, NewEvent
from recorder.store.engine import Database
from recorder.store.rows import EventRow, insert_events
from recorder.store.signal import CommitSignal
from recorder.store.tables import events

READ_BATCH: Final = 1_000
"""Events a reader takes per query."""

_MAX_KNOWN_TAILS: Final = 100_000


class Receipt(msgspec.Struct, frozen=True):
    """Where an appended event stands, for good.

    Attributes:
        position: Its place in the whole log.
        chain: The chain value there; whoever keeps it can later prove the log unchanged up to it.
    """

    position: int
    chain: bytes


class Head(msgspec.Struct, frozen=True):
    """The end of the log: its identity, its last position, the chain there."""

    epoch: str
    position: int
    chain: bytes


Outcome = Receipt | SequenceConflict | RunClosed


class EventLog(Protocol):
    """What every implementation of the log does; the contract suite runs over all of them."""

    commits: CommitSignal

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """Appends events in one transaction; durable on return.

        Idempotent: an event that already stands at its `(request_id, seq)` with the same bytes
        gets its first receipt again. One event's refusal does not touch the others.

        Returns:
            For each event, in order, its receipt or the error that refused it.

        Raises:
            LogUnavailable: Nothing is known to be committed; append the same batch again.
        """

    def head(self) -> Head:
        """The end of the log as committed."""

    def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
        """Up to `limit` events with a position above `after`, in order of position."""

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """Up to `limit` events of a run with a seq above `after_seq`, in order of seq."""


class _Tail(msgspec.Struct):
    """The end of a run: its last seq (-1 before any), and whether that event is `closed`."""

    seq: int
    closed: bool


class SqlLog:
    """The log on SQLite or PostgreSQL; see `EventLog`. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits = CommitSignal()
        # What we know of the ends of runs holds while the head's chain is the one we left: it
        # changes with every commit, ours or another process's, and with nothing else.
        self._tails: dict[str, _Tail] = {}
        self._tails_hold_at: bytes | None = None

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """See `EventLog.append`."""
        if not batch:
            return []
        with self._database.writing() as connection:
            head = self._lock_head(connection)
            appending = _Appending(connection, head, self._known_tails(head))
            outcomes = [appending.take(event) for event in batch]
            new_head = appending.write(self._database.is_sqlite)
            self._tails_hold_at = new_head.chain
        self.commits.reached(new_head.position)
        return outcomes

    def _known_tails(self, head: Head) -> dict[str, _Tail]:
        if head.chain != self._tails_hold_at or len(self._tails) > _MAX_KNOWN_TAILS:
            self._tails = {}
        self._tails_hold_at = None  # until this append is through
        return self._tails

    def _lock_head(self, connection: Connection) -> Head:
        statement = _SELECT_HEAD if self._database.is_sqlite else _SELECT_HEAD_FOR_UPDATE
        return _head(connection.exec_driver_sql(statement).one_or_none())

    def head(self) -> Head:
        """See `EventLog.head`."""
        with self._database.reading() as connection:
            return _head(connection.exec_driver_sql(_SELECT_HEAD).one_or_none())

    def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
        """See `EventLog.read`."""
        with self._database.reading() as connection:
            rows = connection.execute(_READ, {"after": after, "limit": limit})
            return [LoggedEvent(*row) for row in rows]

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """See `EventLog.read_run`."""
        parameters = {"request_id": request_id, "after": after_seq, "limit": limit}
        with self._database.reading() as connection:
            return [LoggedEvent(*row) for row in connection.execute(_READ_RUN, parameters)]


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


_SELECT_HEAD: Final = "SELECT epoch, position, chain FROM log_head"
_SELECT_HEAD_FOR_UPDATE: Final = f"{_SELECT_HEAD} FOR UPDATE"
_MOVE_HEAD: Final = text("UPDATE log_head SET position = :position, chain = :chain")
_READ: Final = (
    select(events)
    .where(events.c.position > bindparam("after"))
    .order_by(events.c.position)
    .limit(bindparam("limit"))
)
_READ_RUN: Final = (
    select(events)
    .where(events.c.request_id == bindparam("request_id"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
)
_LAST_OF_RUN: Final = text(
    "SELECT seq, type FROM events WHERE request_id = :request_id ORDER BY seq DESC LIMIT 1"
)
_AT_PLACE: Final = (
    select(events.c.position, events.c.chain, events.c.salt, events.c.frame_digest)
    .where(events.c.request_id == bindparam("request_id"), events.c.seq == bindparam("seq"))
)  # fmt: skip


def _head(row: Row[Any] | None) -> Head:
    if row is None:
        raise LogError("the log has no head row; the database is damaged")
    return Head(row.epoch, row.position, row.chain)


class _Appending:
    """One append under way, the head row locked."""

    def __init__(self, connection: Connection, head: Head, tails: dict[str, _Tail]) -> None:
        self._connection = connection
        self._epoch = head.epoch
        self._position = head.position
        self._chain = head.chain
        self._tails = tails
        self._rows: list[EventRow] = []
        self._pending: dict[tuple[str, int], EventRow] = {}

    def take(self, event: NewEvent) -> Outcome:
        tail = self._tail(event.request_id)
        if event.seq <= tail.seq:
            return self._again(event, tail)
        if tail.closed:
            return RunClosed(event.request_id, event.seq)
        if event.seq > tail.seq + 1:
            return SequenceConflict(event.request_id, event.seq, next_seq=tail.seq + 1)
        tail.seq = event.seq
        tail.closed = event.type == "closed"
        return self._link(event)

    def write(self, is_sqlite: bool) -> Head:
        if self._rows:
            insert_events(self._connection, self._rows, is_sqlite)
            self._connection.execute(_MOVE_HEAD, {"position": self._position, "chain": self._chain})
        return Head(self._epoch, self._position, self._chain)

    def _tail(self, request_id: str) -> _Tail:
        tail = self._tails.get(request_id)
        if tail is None:
            row = self._connection.execute(_LAST_OF_RUN, {"request_id": request_id}).one_or_none()
            tail = _Tail(-1, False) if row is None else _Tail(row.seq, row.type == "closed")
            self._tails[request_id] = tail
        return tail

    def _link(self, event: NewEvent) -> Receipt:
        salt = os.urandom(chain.SALT_BYTES)
        digest = chain.frame_digest(salt, event.frame)
        self._position += 1
        self._chain = chain.link(self._epoch, self._chain, self._position, event, digest)
        row = EventRow.of(self._position, event, salt, digest, self._chain)
        self._rows.append(row)
        self._pending[event.request_id, event.seq] = row
        return Receipt(self._position, self._chain)

    def _again(self, event: NewEvent, tail: _Tail) -> Outcome:
        """An event for a place that is taken: the first receipt, or a conflict.

        An erased frame cannot be compared any more; that counts as a conflict.
        """
        place = {"request_id": event.request_id, "seq": event.seq}
        first = self._pending.get((event.request_id, event.seq))
        row = first or self._connection.execute(_AT_PLACE, place).one()
        same = (
            row.salt is not None and chain.frame_digest(row.salt, event.frame) == row.frame_digest
        )
        if not same:
            return SequenceConflict(event.request_id, event.seq, next_seq=tail.seq + 1)
        return Receipt(row.position, row.chain)
