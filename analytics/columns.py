"""Loading: rows of runs and steps become columns.

One transaction reads the checkpoint and both tables, so what comes back is one state of the live
generation, whatever the projector or a rebuild does meanwhile. Whoever asks questions sees only the
columns; where they come from is this module's business alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Select, and_, exists, select

from recorder.events import lift
from recorder.store.engine import Database
from recorder.store.generations import RUNS, read_checkpoint
from recorder.store.tables import runs, steps

BATCH_ROWS: Final = 50_000
"""Rows taken out of the database at a time; a server-side cursor keeps the rest there."""

RUN_COLUMNS: Final = pa.schema(
    {
        "workflow": pa.string(),
        "status": pa.string(),
        "duration_us": pa.int64(),
        "first_event_us": pa.int64(),
    }
)
STEP_COLUMNS: Final = pa.schema(
    {
        "workflow": pa.string(),
        "node": pa.string(),
        "app": pa.string(),
        "status": pa.string(),
        "submitted_us": pa.int64(),
        "finished_us": pa.int64(),
        "inference_us": pa.int64(),
    }
)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs and steps to load; what is None does not narrow.

    Attributes:
        workflow: Exact endpoint id.
        node: Exact node id.
        app: Exact app id.
        since, until: The run was opened at or after, and before; microseconds since 1970 in UTC.
            A step belongs to the window its run belongs to.
    """

    workflow: str | None = None
    node: str | None = None
    app: str | None = None
    since: int | None = None
    until: int | None = None


class Columns(msgspec.Struct, frozen=True):
    """One state of the projections.

    Attributes:
        tables: `runs` and `steps`. With a node or an app selected, `steps` holds those steps only
            and `runs` the runs that have one of them.
        as_of_position: The log position this state is derived from.
    """

    tables: dict[str, pa.Table]
    as_of_position: int


def load(database: Database, selection: Selection) -> Columns:
    """Loads what is selected, of the live generation.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with database.reading() as connection:
        checkpoint = read_checkpoint(connection, RUNS)
        tables = {
            "runs": _table(connection, _runs(selection, checkpoint.generation), RUN_COLUMNS),
            "steps": _table(connection, _steps(selection, checkpoint.generation), STEP_COLUMNS),
        }
    return Columns(tables, checkpoint.position)


def _runs(selection: Selection, generation: int) -> Select[Any]:
    query = select(runs.c.workflow, runs.c.status, runs.c.duration_us, runs.c.first_event_us).where(
        runs.c.generation == generation, *_of_run(selection)
    )
    if of_step := _of_step(selection):
        query = query.where(exists().where(_same_run(), *of_step))
    return query


def _steps(selection: Selection, generation: int) -> Select[Any]:
    return (
        select(
            runs.c.workflow,
            steps.c.node_id,
            steps.c.app_id,
            steps.c.status,
            steps.c.submitted_us,
            steps.c.finished_us,
            steps.c.inference_us,
        )
        .join_from(runs, steps, _same_run())
        .where(runs.c.generation == generation, *_of_run(selection), *_of_step(selection))
    )


def _same_run() -> ColumnElement[bool]:
    return and_(steps.c.generation == runs.c.generation, steps.c.request_id == runs.c.request_id)


def _of_run(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.workflow is not None:
        conditions.append(runs.c.workflow == lift(selection.workflow))
    if selection.since is not None:
        conditions.append(runs.c.opened_at >= selection.since)
    if selection.until is not None:
        conditions.append(runs.c.opened_at < selection.until)
    return conditions


def _of_step(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.node is not None:
        conditions.append(steps.c.node_id == lift(selection.node))
    if selection.app is not None:
        conditions.append(steps.c.app_id == lift(selection.app))
    return conditions


def _table(connection: Connection, query: Select[Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(_batches(connection, query, schema), schema)


def _batches(
    connection: Connection, query: Select[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    result = connection.execute(query, execution_options={"yield_per": BATCH_ROWS})
    for rows in result.partitions():
        yield _batch(rows, schema)


def _batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
