"""One append: what happens while the head row is locked.

This is the recorder's hot path. It talks to the driver directly: through SQLAlchemy's execution the
same transaction of one event takes twice as long (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from recorder import chain
from recorder.errors import LogError, RunClosed, SequenceConflict
from recorder.events import NewEvent, lift
from recorder.store.tables import events

_COLUMNS: Final = ", ".join(column.name for column in events.columns)
COPY_EVENTS: Final = f"COPY events ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
COPY_TYPES: Final = (
    "int8", "text", "int8", "text", "text", "text", "text", "int8", "int8",
    "bytea", "bytea", "bytea", "bytea",
)  # fmt: skip
_COPY_FROM_ROWS: Final = 20
"""From this many rows on, COPY is faster than INSERT."""

_SALTS_AT_ONCE: Final = 32


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


class Tail(msgspec.Struct):
    """The end of a run: its last seq (-1 before any), and whether that event is `closed`."""

    seq: int
    closed: bool


Outcome = Receipt | SequenceConflict | RunClosed


class Statements(NamedTuple):
    """The statements of an append, in the way of one driver."""

    lock_head: str
    last_of_run: str
    at_place: str
    insert: str
    move_head: str
    sign_of_life: str
    own_run: str
    release_run: str
    copies: bool


def _statements(place: str, for_update: str, *, copies: bool) -> Statements:
    places = ", ".join(place for _ in events.columns)
    return Statements(
        lock_head=f"SELECT epoch, position, chain FROM log_head{for_update}",
        last_of_run=(
            f"SELECT seq, type FROM events WHERE request_id = {place} ORDER BY seq DESC LIMIT 1"
        ),
        at_place=(
            "SELECT position, chain, salt, frame_digest FROM events "
            f"WHERE request_id = {place} AND seq = {place}"
        ),
        insert=f"INSERT INTO events ({_COLUMNS}) VALUES ({places})",
        sign_of_life=(
            f"INSERT INTO recorders (instance, beat) VALUES ({place}, 1) "
            "ON CONFLICT (instance) DO UPDATE SET beat = recorders.beat + 1"
        ),
        own_run=(
            f"INSERT INTO open_runs (request_id, recorder) VALUES ({place}, {place}) "
            "ON CONFLICT (request_id) DO NOTHING"
        ),
        release_run=f"DELETE FROM open_runs WHERE request_id = {place}",
        move_head=f"UPDATE log_head SET position = {place}, chain = {place}",
        copies=copies,
    )


SQLITE: Final = _statements("?", "", copies=False)
POSTGRES: Final = _statements("%s", " FOR UPDATE", copies=True)


_Row = tuple[Any, ...]
"""A row of `events`, columns in the table's order; a named tuple takes five times as long to make."""

_POSITION, _REQUEST_ID, _TYPE, _FRAME, _SALT, _DIGEST, _CHAIN = 0, 1, 3, 9, 10, 11, 12


class _Signature(msgspec.Struct):
    """What an `opened` document says about its recorder."""

    recorder: str = ""


_decode_signature = msgspec.json.Decoder(_Signature).decode


class Append:
    """An append under way, within a transaction of the cursor's that it does not end.

    Args:
        cursor: A driver's cursor.
        statements: In the driver's way.
        instance: Who appends; owns the runs opened here.
    """

    def __init__(self, cursor: Any, statements: Statements, instance: str) -> None:
        self._cursor = cursor
        self._instance = instance
        self._statements = statements
        cursor.execute(statements.lock_head)
        row = cursor.fetchone()
        if row is None:
            raise LogError("the log has no head row; the database is damaged")
        self.head = Head(*row)
        self._tails: dict[str, Tail] = {}
        self._rows: list[_Row] = []
        self._salts: list[bytes] = []
        self._places: dict[tuple[str, int], _Row] = {}

    def add(self, batch: Sequence[NewEvent], tails: dict[str, Tail]) -> list[Outcome]:
        """Links events to the chain and inserts them.

        Args:
            batch: What to append.
            tails: What is known of the ends of runs; kept up to date.
        """
        self._tails = tails
        outcomes = [self._take(event) for event in batch]
        if self._rows:
            self._insert()
            self._note_ownership()
            self._cursor.execute(self._statements.move_head, (self.head.position, self.head.chain))
        return outcomes

    def _take(self, event: NewEvent) -> Outcome:
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

    def _tail(self, request_id: str) -> Tail:
        tail = self._tails.get(request_id)
        if tail is None:
            self._cursor.execute(self._statements.last_of_run, (request_id,))
            row = self._cursor.fetchone()
            tail = Tail(-1, False) if row is None else Tail(row[0], row[1] == "closed")
            self._tails[request_id] = tail
        return tail

    def _link(self, event: NewEvent) -> Receipt:
        salt = self._next_salt()
        digest = chain.frame_digest(salt, event.frame)
        head = self.head
        position = head.position + 1
        value = chain.link(head.epoch, head.chain, position, event, digest)
        row = (
            position,
            event.request_id,
            event.seq,
            event.type,
            event.node_id,
            event.app_id,
            event.step_request_id,
            event.received_at,
            event.elapsed_us,
            event.frame,
            salt,
            digest,
            value,
        )
        self._rows.append(row)
        self._places[event.request_id, event.seq] = row
        self.head = Head(head.epoch, position, value)
        return Receipt(position, value)

    def _next_salt(self) -> bytes:
        """Random bytes, drawn for many events at a time."""
        if not self._salts:
            drawn = os.urandom(chain.SALT_BYTES * _SALTS_AT_ONCE)
            self._salts = [
                drawn[at : at + chain.SALT_BYTES] for at in range(0, len(drawn), chain.SALT_BYTES)
            ]
        return self._salts.pop()

    def _again(self, event: NewEvent, tail: Tail) -> Outcome:
        """An event for a place that is taken: the first receipt, or a conflict.

        An erased frame cannot be compared any more; that counts as a conflict.
        """
        place = (event.request_id, event.seq)
        if (row := self._places.get(place)) is not None:
            position, value, salt, digest = row[_POSITION], row[_CHAIN], row[_SALT], row[_DIGEST]
        else:
            self._cursor.execute(self._statements.at_place, place)
            position, value, salt, digest = self._cursor.fetchone()
        if salt is None or chain.frame_digest(salt, event.frame) != digest:
            return SequenceConflict(event.request_id, event.seq, next_seq=tail.seq + 1)
        return Receipt(position, value)

    def _note_ownership(self) -> None:
        """Keeps `open_runs`: the runs without an end, and whose they are."""
        opened = [
            (row[_REQUEST_ID], self._owner(row[_FRAME]))
            for row in self._rows
            if row[_TYPE] == "opened"
        ]
        closed = [(row[_REQUEST_ID],) for row in self._rows if row[_TYPE] == "closed"]
        if any(owner == self._instance for _, owner in opened):
            self._cursor.execute(self._statements.sign_of_life, (self._instance,))
        if opened:
            self._cursor.executemany(self._statements.own_run, opened)
        if closed:
            self._cursor.executemany(self._statements.release_run, closed)

    def _owner(self, frame: bytes) -> str:
        """Who records the run; not us where we append what a dead process left in its spool."""
        try:
            named = _decode_signature(frame).recorder
        except (msgspec.MsgspecError, UnicodeError):
            named = ""
        return lift(named) or self._instance

    def _insert(self) -> None:
        if not self._statements.copies or len(self._rows) < _COPY_FROM_ROWS:
            self._cursor.executemany(self._statements.insert, self._rows)
            return
        with self._cursor.copy(COPY_EVENTS) as copy:
            copy.set_types(COPY_TYPES)
            for row in self._rows:
                copy.write_row(row)
