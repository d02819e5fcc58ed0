"""Rows in the form in which their driver takes them fastest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from recorder.events import NewEvent

Row = tuple[Any, ...]
"""Values in the order of a table's columns."""

Linked = tuple[int, NewEvent, bytes, bytes, bytes]
"""An event in its place: position, event, salt, digest, chain; a named tuple takes five times as long."""

Blob = bytes | bytearray
"""Bytes as a driver takes them; see `SQLITE_NULL`."""

SQLITE_NULL: Final = float("nan")
"""SQLite stores NaN as NULL. For a None, as for `bytes`, sqlite3 looks for an adapter, which takes 0.8 µs; for
a float or a `bytearray` it looks for none."""


def sqlite_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows without `bytes` as sqlite3 takes them fastest."""
    return [tuple([SQLITE_NULL if value is None else value for value in row]) for row in rows]


def event_row(linked: Linked) -> Row:
    """The values in the order of the table's columns."""
    position, event, salt, digest, value = linked
    return (
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


def sqlite_event_row(linked: Linked) -> Row:
    """`event_row` as sqlite3 takes it fastest."""
    position, event, salt, digest, value = linked
    node_id, app_id, step_id = event.node_id, event.app_id, event.step_request_id
    return (
        position,
        event.request_id,
        event.seq,
        event.type,
        SQLITE_NULL if node_id is None else node_id,
        SQLITE_NULL if app_id is None else app_id,
        SQLITE_NULL if step_id is None else step_id,
        event.received_at,
        event.elapsed_us,
        bytearray(event.frame),
        bytearray(salt),
        bytearray(digest),
        bytearray(value),
    )
