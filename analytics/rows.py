"""The relations as batches of rows, read as they are taken: for whoever must not hold all of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, bindparam, case, func, select

from analytics.fetching import Chunk, Which, chunks, run_batches
from analytics.remainder import of_run, of_steps
from analytics.schema import EVENTS, RUNS, STEPS
from analytics.selection import Selection
from recorder.events import lift
from recorder.store.generations import Checkpoint
from recorder.store.tables import events, runs

EVENT_ROWS: Final = 1_000
SHORT_BYTES: Final = 4 * 1024
"""Longer frames are read one by one: drivers take many rows into memory before they hand out the first."""

MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""A batch of events ends early once its frames come to this."""


class Batches:
    """Batches of one relation, in the columns of `analytics.schema`; read once.

    Attributes:
        schema: Of every batch.
    """

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def batches_of(
    relation: str, connection: Connection, checkpoint: Checkpoint, selection: Selection
) -> Batches:
    """A relation's selected rows, as of a checkpoint, within the connection's transaction.

    Runs and steps come in the order their runs arrived, events in the order of the log. Events are those
    of the selected runs up to the checkpoint; with a node or an app selected, those that name it.
    """
    which = Which(
        checkpoint.generation,
        of_run(selection),
        order=(runs.c.first_position,),
        of_steps=of_steps(selection),
    )
    match relation:
        case "runs":
            return Batches(RUNS, run_batches(connection, which))
        case "steps":
            return Batches(STEPS, map(_steps_in_order, chunks(connection, which)))
        case _:
            query = _select_events(checkpoint, selection)
            return Batches(EVENTS, _event_batches(connection, query))


def _steps_in_order(chunk: Chunk) -> pa.RecordBatch:
    """Steps as their runs stand, those of a run by when they were submitted."""
    place = pc.index_in(chunk.steps.column("request_id"), value_set=chunk.runs.column("request_id"))
    keys = {"place": place, "at": chunk.steps.column("submitted_us")}
    names = ("place", "at", "node_id", "attempt")
    keys |= {name: chunk.steps.column(name) for name in names[2:]}
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in names])
    return chunk.steps.take(order)


def _select_events(checkpoint: Checkpoint, selection: Selection) -> Select[Any]:
    """The query for events: long frames left out, and the frame's size last.

    Both databases tell the length of a frame without reading it.
    """
    size = func.length(events.c.frame)
    short = case((size <= SHORT_BYTES, events.c.frame)).label("frame")
    columns = [events.c[name] for name in EVENTS.names if not name.startswith("frame")]
    query = (
        select(*columns, size.label("frame_bytes"), short)
        .where(events.c.position <= checkpoint.position)
        .order_by(events.c.position)
    )
    if selection.node is not None:
        query = query.where(events.c.node_id == lift(selection.node))
    if selection.app is not None:
        query = query.where(events.c.app_id == lift(selection.app))
    if conditions := of_run(selection):
        selected = select(runs.c.request_id).where(
            runs.c.generation == checkpoint.generation, *conditions
        )
        query = query.where(events.c.request_id.in_(selected))
    return query


def _event_batches(connection: Connection, query: Select[Any]) -> Iterator[pa.RecordBatch]:
    options = {"yield_per": EVENT_ROWS}
    held: list[tuple[Any, ...]] = []
    held_bytes = 0
    with connection.execute(query, execution_options=options) as result:
        for row in result:
            *others, frame_bytes, frame = row
            if frame is None and frame_bytes is not None:
                frame = connection.execute(_FRAME, {"position": row.position}).scalar_one()
            held.append((*others, frame_bytes, frame))
            held_bytes += frame_bytes or 0
            if len(held) == EVENT_ROWS or held_bytes >= MAX_BATCH_BYTES:
                yield _event_batch(held)
                held, held_bytes = [], 0
    if held:
        yield _event_batch(held)


def _event_batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, EVENTS, strict=True)]
    return pa.record_batch(arrays, schema=EVENTS)


_FRAME: Final = select(events.c.frame).where(events.c.position == bindparam("position"))
