"""One append: what happens while the head row is locked.

This is the recorder's hot path. It talks to the driver directly: through SQLAlchemy's execution the
same transaction of one event takes twice as long (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain as chained
from itertools import islice, starmap
from typing import Any, Final, NamedTuple

import msgspec

from recorder import chain
from recorder.errors import LogError, RunClosed, SequenceConflict
from recorder.events import NewEvent, lift
from recorder.store import text_copy
from recorder.store.binding import Blob, Linked, Row, event_row, sqlite_event_row
from recorder.store.signal import CHANNEL
from recorder.store.tables import events

_COLUMNS: Final = ", ".join(column.name for column in events.columns)
COPY_EVENTS: Final = f"COPY events ({_COLUMNS}) FROM STDIN"
_COPY_FROM_ROWS: Final = 20
"""From this many rows on, COPY is faster than INSERT."""

_ROWS_A_WRITE: Final = 24
"""PostgreSQL inserts what it has whenever 64 KB have come; it should not have to wait for the first."""


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


class Known(msgspec.Struct):
    """What an appender remembers of the log from one append to the next.

    It holds while the head's chain is the one it left: that changes with every commit, its own or
    another process's, and with nothing else.

    Attributes:
        head: The head it left; None before it appended.
        tails: The ends of runs, by their ids.
    """

    head: Head | None = None
    tails: dict[str, Tail] = {}


Outcome = Receipt | SequenceConflict | RunClosed


class Statements(NamedTuple):
    """The statements of an append, in the way of one driver.

    Attributes:
        move_head: Takes the new position, the new chain, and the chain the head has to have before; else
            it changes nothing, and the cursor counts no row.
        copies: Whether many rows go by COPY.
        row: The values of an event in its place, as the driver takes them.
        blob: A chain value as the driver takes it.
    """

    lock_head: str
    last_of_run: str
    at_place: str
    insert: str
    move_head: str
    sign_of_life: str
    own_run: str
    release_run: str
    copies: bool
    row: Callable[[Linked], Row]
    blob: Callable[[bytes], Blob]


def _insert(verb: str, place: str, *, rows: int = 1) -> str:
    row = f"({', '.join(place for _ in events.columns)})"
    return f"{verb} INTO events ({_COLUMNS}) VALUES {', '.join([row] * rows)}"


def _statements(place: str, on_conflict: str, for_update: str, **driver: Any) -> Statements:
    return Statements(
        lock_head=f"SELECT epoch, position, chain FROM log_head{for_update}",
        last_of_run=(
            f"SELECT seq, type FROM events WHERE request_id = {place} ORDER BY seq DESC LIMIT 1"
        ),
        at_place=(
            "SELECT position, chain, salt, frame_digest FROM events "
            f"WHERE request_id = {place} AND seq = {place}"
        ),
        insert=_insert(f"INSERT{on_conflict}", place),
        sign_of_life=(
            f"INSERT INTO recorders (instance, beat) VALUES ({place}, 1) "
            "ON CONFLICT (instance) DO UPDATE SET beat = recorders.beat + 1"
        ),
        own_run=(
            f"INSERT INTO open_runs (request_id, recorder) VALUES ({place}, {place}) "
            "ON CONFLICT (request_id) DO NOTHING"
        ),
        release_run=f"DELETE FROM open_runs WHERE request_id = {place}",
        move_head=(
            f"UPDATE{on_conflict} log_head SET position = {place}, chain = {place} "
            f"WHERE id = 1 AND chain = {place}"
        ),
        **driver,
    )


# Whatever SQLite refuses of an append ends it, so that no statement has to be undone by itself: this
# saves a journal of each.
_OR_ROLLBACK: Final = " OR ROLLBACK"
SQLITE: Final = _statements(
    "?", _OR_ROLLBACK, "", copies=False, row=sqlite_event_row, blob=bytearray
)
_POSTGRES: Final = _statements("%s", "", " FOR UPDATE", copies=True, row=event_row, blob=bytes)
POSTGRES: Final = _POSTGRES._replace(
    # One statement for both: other processes hear of the commit the moment it is made.
    move_head=(
        f"WITH moved AS ({_POSTGRES.move_head} RETURNING position) "
        f"SELECT pg_notify('{CHANNEL}', position::text) FROM moved"
    )
)

_SQLITE_INSERTS: Final = tuple(
    (rows, _insert(f"INSERT{_OR_ROLLBACK}", "?", rows=rows)) for rows in (32, 4, 1)
)
"""By the number of rows they take. sqlite3 gives up the interpreter lock at each statement and has to
get it back from busy threads, such as an event loop's; few large statements ask for it less often."""

_MAX_KNOWN_TAILS: Final = 100_000
_SALT: Final = chain.SALT_BYTES
_CHANGE_OWNERSHIP: Final = ("opened", "closed")


class _Signature(msgspec.Struct):
    """What an `opened` document says about its recorder."""

    recorder: str = ""


_decode_signature = msgspec.json.Decoder(_Signature).decode


class Append:
    """An append under way, within a transaction of the cursor's that it does not end.

    Everything is looked up first and linked afterwards, row by row, while the database takes the rows.

    Args:
        cursor: A driver's cursor.
        statements: In the driver's way.
        instance: Who appends; owns the runs opened here. None where they are copies, which nobody owns.
    """

    def __init__(self, cursor: Any, statements: Statements, instance: str | None) -> None:
        self._cursor = cursor
        self._instance = instance
        self._statements = statements
        self._tails: dict[str, Tail] = {}
        self._new: list[NewEvent] = []
        self._changes_ownership = False
        self._receipts: list[Receipt] = []  # of the new events, once they are linked

    def add(self, batch: Sequence[NewEvent], known: Known) -> list[Outcome]:
        """Links events to the chain and inserts them.

        Args:
            batch: What to append.
            known: What was known before; kept up to date.
        """
        receipt = self._add_next(batch[0], known) if len(batch) == 1 else None
        if receipt is not None:
            return [receipt]
        head = self._lock_head()
        if known.head != head or len(known.tails) > _MAX_KNOWN_TAILS:
            known.head, known.tails = head, {}
        self._tails = known.tails
        outcomes = self._add_all(batch, head)
        if self._receipts:
            if self._changes_ownership:
                self._note_ownership()
            last = self._receipts[-1]
            self._move_head(head, last.position, last.chain)
            known.head = Head(head.epoch, last.position, last.chain)
        return outcomes

    def _add_next(self, event: NewEvent, known: Known) -> Receipt | None:
        """Appends an event that follows what is known of its run, without reading head or run again.

        The head is moved first, which also locks it, and only moves if it is the known one: then what
        is known of the run holds as well.

        Returns:
            None if nothing was written, as somebody else has appended, or the event is another one.
        """
        head, tail = known.head, known.tails.get(event.request_id)
        if head is None or tail is None or tail.closed or tail.seq + 1 != event.seq:
            return None
        if event.type in _CHANGE_OWNERSHIP:
            return None
        position = head.position + 1
        linked = _link(event, head.epoch, position, head.chain, os.urandom(_SALT))
        value = linked[-1]
        if not self._move_head(head, position, value):
            return None
        self._cursor.execute(self._statements.insert, self._statements.row(linked))
        tail.seq = event.seq
        known.head = Head(head.epoch, position, value)
        return Receipt(position, value)

    def _move_head(self, head: Head, position: int, value: bytes) -> bool:
        """Moves the head; False if it was not where it was thought to be."""
        blob = self._statements.blob
        self._cursor.execute(self._statements.move_head, (position, blob(value), blob(head.chain)))
        return self._cursor.rowcount == 1  # type: ignore[no-any-return]

    def _add_all(self, batch: Sequence[NewEvent], head: Head) -> list[Outcome]:
        taken = [self._take(event) for event in batch]
        if self._new:
            self._insert(self._linked(head))
        return [self._receipts[each] if isinstance(each, int) else each for each in taken]

    def _lock_head(self) -> Head:
        self._cursor.execute(self._statements.lock_head)
        row = self._cursor.fetchone()
        if row is None:
            raise LogError("the log has no head row; the database is damaged")
        return Head(*row)

    def _take(self, event: NewEvent) -> Outcome | int:
        """What becomes of an event: its outcome, or its index among the new ones."""
        tail = self._tails.get(event.request_id) or self._look_up_tail(event.request_id)
        if event.seq <= tail.seq:
            return self._again(event, tail)
        if tail.closed:
            return RunClosed(event.request_id, event.seq)
        if event.seq > tail.seq + 1:
            return SequenceConflict(event.request_id, event.seq, next_seq=tail.seq + 1)
        tail.seq = event.seq
        if event.type in _CHANGE_OWNERSHIP:
            tail.closed = event.type == "closed"
            self._changes_ownership = True
        self._new.append(event)
        return len(self._new) - 1

    def _look_up_tail(self, request_id: str) -> Tail:
        self._cursor.execute(self._statements.last_of_run, (request_id,))
        row = self._cursor.fetchone()
        tail = Tail(-1, False) if row is None else Tail(row[0], row[1] == "closed")
        self._tails[request_id] = tail
        return tail

    def _again(self, event: NewEvent, tail: Tail) -> Outcome | int:
        """An event for a place that is taken: the first receipt, or a conflict.

        An erased frame cannot be compared any more; that counts as a conflict.
        """
        place = (event.request_id, event.seq)
        for index, new in enumerate(self._new):
            if (new.request_id, new.seq) == place:
                if new.frame == event.frame:
                    return index
                return SequenceConflict(*place, next_seq=tail.seq + 1)
        self._cursor.execute(self._statements.at_place, place)
        position, value, salt, digest = self._cursor.fetchone()
        if salt is not None and chain.frame_digest(salt, event.frame) == digest:
            return Receipt(position, value)
        return SequenceConflict(*place, next_seq=tail.seq + 1)

    def _insert(self, linked: Iterator[Linked]) -> None:
        if not self._statements.copies:
            self._insert_into_sqlite(linked)
        elif len(self._new) < _COPY_FROM_ROWS:
            self._cursor.executemany(self._statements.insert, map(event_row, linked))
        else:
            self._copy_into_postgres(linked)

    def _copy_into_postgres(self, linked: Iterator[Linked]) -> None:
        """Sends rows while the next ones are linked."""
        with self._cursor.copy(COPY_EVENTS) as copy:
            rows = starmap(text_copy.row, linked)
            while some := "".join(islice(rows, _ROWS_A_WRITE)):
                copy.write(some)

    def _insert_into_sqlite(self, linked: Iterator[Linked]) -> None:
        left = len(self._new)
        rows = (sqlite_event_row(each) for each in linked)
        for count, insert in _SQLITE_INSERTS:
            while left >= count:
                self._cursor.execute(insert, list(chained.from_iterable(islice(rows, count))))
                left -= count

    def _linked(self, head: Head) -> Iterator[Linked]:
        """Links the new events to the chain, one after the other."""
        value = head.chain
        salts = os.urandom(_SALT * len(self._new))
        for index, event in enumerate(self._new):
            salt = salts[index * _SALT : (index + 1) * _SALT]
            position = head.position + 1 + index
            linked = _link(event, head.epoch, position, value, salt)
            value = linked[-1]
            self._receipts.append(Receipt(position, value))
            yield linked

    def _note_ownership(self) -> None:
        """Keeps `open_runs`: the runs without an end, and whose they are."""
        opened = [
            (event.request_id, self._owner(event.frame, self._instance))
            for event in self._new
            if event.type == "opened" and self._instance is not None
        ]
        closed = [(event.request_id,) for event in self._new if event.type == "closed"]
        if any(owner == self._instance for _, owner in opened):
            self._cursor.execute(self._statements.sign_of_life, (self._instance,))
        if opened:
            self._cursor.executemany(self._statements.own_run, opened)
        if closed:
            self._cursor.executemany(self._statements.release_run, closed)

    @staticmethod
    def _owner(frame: bytes, instance: str) -> str:
        """Who records the run; not us where we append what a dead process left in its spool."""
        try:
            named = _decode_signature(frame).recorder
        except (msgspec.MsgspecError, UnicodeError):
            named = ""
        return lift(named) or instance


def _link(event: NewEvent, epoch: str, position: int, before: bytes, salt: bytes) -> Linked:
    digest = chain.frame_digest(salt, event.frame)
    return position, event, salt, digest, chain.link(epoch, before, position, event, digest)
