"""Writing rows into `events`, the fast way of each database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.store.tables import events

_COLUMNS: Final = ", ".join(column.name for column in events.columns)
_INSERT_SQLITE: Final = (
    f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' for _ in events.columns)})"
)
_INSERT_POSTGRES: Final = _INSERT_SQLITE.replace("?", "%s")
_COPY_POSTGRES: Final = f"COPY events ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_POSTGRES_TYPES: Final = (
    "int8", "text", "int8", "text", "text", "text", "text", "int8", "int8",
    "bytea", "bytea", "bytea", "bytea",
)  # fmt: skip
_COPY_FROM_ROWS: Final = 20
"""From this many rows on, COPY is faster than INSERT (measured in bench/)."""


class EventRow(NamedTuple):
    """A row of `events`, columns in the table's order."""

    position: int
    request_id: str
    seq: int
    type: str
    node_id: str | None
    app_id: str | None
    step_request_id: str | None
    received_at: int
    elapsed_us: int
    frame: bytes | None
    salt: bytes | None
    frame_digest: bytes
    chain: bytes

    @classmethod
    def of(
        cls, position: int, event: NewEvent, salt: bytes, digest: bytes, chain: bytes
    ) -> EventRow:
        """The row of a new event at its position."""
        return cls(
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
            chain,
        )


def insert_events(connection: Connection, rows: Sequence[EventRow], is_sqlite: bool) -> None:
    """Inserts rows within the connection's transaction, past SQLAlchemy's per-row work."""
    if is_sqlite:
        connection.exec_driver_sql(_INSERT_SQLITE, list(rows))
    elif len(rows) < _COPY_FROM_ROWS:
        connection.exec_driver_sql(_INSERT_POSTGRES, list(rows))
    else:
        _copy(connection, rows)


def _copy(connection: Connection, rows: Sequence[EventRow]) -> None:
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    import psycopg  # an extra: only here when there is a PostgreSQL to write to

    try:
        with driver_connection.cursor() as cursor, cursor.copy(_COPY_POSTGRES) as copy:
            copy.set_types(_POSTGRES_TYPES)
            for row in rows:
                copy.write_row(row)
    except psycopg.OperationalError as error:
        raise LogUnavailable(str(error).splitlines()[0]) from error
