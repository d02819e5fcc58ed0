"""The tail, kept from one answer to the next: what is in no segment is read once, and then what has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, func, select

from analytics.fetching import Chunk, Which, chunks
from analytics.remainder import Tail
from analytics.schema import RUNS, STEPS
from analytics.segments.catalog import CHANGED_INDEX, Listed, chain_at
from analytics.segments.reading import tail_of
from recorder.store.tables import runs

KEPT_EVENTS: Final = 100_000
"""Runs with more events than this are read anew for every answer, narrowed to what it is about."""


class _Kept:
    """A tail, the state it is of, and its rows in memory."""

    def __init__(self, listed: Listed, rows: Chunk, folder: Path) -> None:
        self.projected = listed.projected
        self.exported = listed.exported
        self.rows = rows
        self.tail = Tail(folder, [rows])

    def is_of(self, listed: Listed) -> bool:
        """Whether this is the tail of a state."""
        return self.projected == listed.projected and self.exported == listed.exported

    def leads_to(self, listed: Listed, connection: Connection) -> bool:
        """Whether a state differs by events that came after, of a log that still has all before."""
        return (
            self.exported == listed.exported
            and self.projected.generation == listed.projected.generation
            and self.projected.position < listed.projected.position
            and self.projected.chain == chain_at(connection, self.projected.position)
        )


class TailKeeper:
    """Keeps the tail of the last state that was asked about. Safe to use from several threads.

    Args:
        new_folder: Makes a folder for files.
    """

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._one_at_a_time = threading.Lock()
        self._kept: _Kept | None = None

    def read(self, connection: Connection, listed: Listed) -> Tail | None:
        """The tail of a state; None where it is too long, or nothing tells the state from another's.

        Args:
            connection: A transaction that sees the state.
            listed: The state.
        """
        if listed.projected.chain is None:
            return None
        with self._one_at_a_time:
            kept = self._kept
            if kept is not None and kept.is_of(listed):
                return kept.tail
            if _is_long(connection, listed):
                return None
            made = _Kept(listed, _rows(connection, listed, kept), self._new_folder())
            if kept is None or kept.projected.position <= made.projected.position:
                self._kept = made
            return made.tail

    def forget(self) -> None:
        """Has the next answer read the tail anew."""
        with self._one_at_a_time:
            self._kept = None


def _is_long(connection: Connection, listed: Listed) -> bool:
    if listed.projected.position - listed.exported.position > KEPT_EVENTS:
        return True  # every event is one of a run that has changed
    return sum(_events(connection, which) for which in tail_of(listed)) > KEPT_EVENTS


def _events(connection: Connection, which: Which) -> int:
    query = select(func.coalesce(func.sum(runs.c.events), 0)).where(
        runs.c.generation == which.generation, *which.conditions
    )
    if which.by_index is not None:
        query = query.with_hint(runs, f"INDEXED BY {which.by_index}", "sqlite")
    return int(connection.execute(query).scalar_one())


def _rows(connection: Connection, listed: Listed, kept: _Kept | None) -> Chunk:
    if kept is None or not kept.leads_to(listed, connection):
        return _whole(connection, tail_of(listed))
    changed = runs.c.as_of_position > kept.projected.position
    which = Which(listed.projected.generation, (changed,), by_index=CHANGED_INDEX)
    return _replaced(kept.rows, _whole(connection, [which]))


def _whole(connection: Connection, tail: Sequence[Which]) -> Chunk:
    read = [chunk for which in tail for chunk in chunks(connection, which)]
    return Chunk(
        _one([chunk.runs for chunk in read], RUNS), _one([chunk.steps for chunk in read], STEPS)
    )


def _one(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    none = pa.record_batch([pa.array([], field.type) for field in schema], schema)
    return pa.concat_batches([none, *batches])


def _replaced(rows: Chunk, changed: Chunk) -> Chunk:
    """Rows with those of changed runs in place of what was known of these."""
    ids = changed.runs.column("request_id")
    return Chunk(*(_but(old, ids, new) for old, new in zip(rows, changed, strict=True)))


def _but(old: pa.RecordBatch, ids: pa.Array, new: pa.RecordBatch) -> pa.RecordBatch:
    stays = pc.invert(pc.is_in(old.column("request_id"), value_set=ids))
    return pa.concat_batches([old.filter(stays), new])
