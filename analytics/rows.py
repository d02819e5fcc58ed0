"""The relations as batches of rows, read as they are taken: for whoever must not hold all of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Connection, Row, Select, select

from analytics.schema import EVENTS, RUNS, STEPS
from analytics.selection import Selection
from analytics.tail import of_run, run_batches, select_runs, select_steps, step_batches
from recorder.events import lift
from recorder.store.generations import Checkpoint
from recorder.store.tables import events, runs, steps

ROWS: Final = 5_000
EVENT_ROWS: Final = 500
"""Frames may be large, so these batches are small."""

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
    generation = checkpoint.generation
    match relation:
        case "runs":
            query = select_runs(generation, selection).order_by(runs.c.first_position)
            return Batches(RUNS, run_batches(connection, query, ROWS))
        case "steps":
            query = select_steps(generation, selection).order_by(
                runs.c.first_position, steps.c.first_seq, steps.c.attempt
            )
            return Batches(STEPS, step_batches(connection, query, ROWS))
        case _:
            query = _select_events(checkpoint, selection)
            return Batches(EVENTS, _event_batches(connection, query))


def _select_events(checkpoint: Checkpoint, selection: Selection) -> Select[Any]:
    columns = [events.c[name] for name in EVENTS.names if name != "frame_bytes"]
    query = (
        select(*columns).where(events.c.position <= checkpoint.position).order_by(events.c.position)
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
    held: list[Row[Any]] = []
    held_bytes = 0
    with connection.execute(query, execution_options=options) as result:
        for row in result:
            held.append(row)
            held_bytes += len(row.frame or b"")
            if len(held) == EVENT_ROWS or held_bytes >= MAX_BATCH_BYTES:
                yield _event_batch(held)
                held, held_bytes = [], 0
    if held:
        yield _event_batch(held)


def _event_batch(rows: list[Row[Any]]) -> pa.RecordBatch:
    columns = {
        name: [getattr(row, name) for row in rows] for name in EVENTS.names if name != "frame_bytes"
    }
    columns["frame_bytes"] = [None if frame is None else len(frame) for frame in columns["frame"]]
    arrays = [pa.array(columns[field.name], field.type) for field in EVENTS]
    return pa.record_batch(arrays, schema=EVENTS)
