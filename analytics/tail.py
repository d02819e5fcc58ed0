"""Rows of the projections as columns, one batch after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Select, and_, exists, select

from analytics.schema import RUNS, STEPS
from analytics.selection import Selection
from recorder.events import lift
from recorder.store.tables import runs, steps

BATCH_ROWS: Final = 50_000
"""Rows taken out of the database at a time; a server-side cursor keeps the rest there."""


def read_runs(connection: Connection, generation: int, selection: Selection) -> pa.Table:
    """The selected runs of a generation, in the columns of `RUNS`."""
    query = select_runs(generation, selection)
    return pa.Table.from_batches(run_batches(connection, query, BATCH_ROWS), RUNS)


def read_steps(connection: Connection, generation: int, selection: Selection) -> pa.Table:
    """The selected steps of a generation, in the columns of `STEPS`."""
    query = select_steps(generation, selection)
    return pa.Table.from_batches(step_batches(connection, query, BATCH_ROWS), STEPS)


def select_runs(generation: int, selection: Selection) -> Select[Any]:
    """The query for the selected runs of a generation."""
    query = select(runs).where(runs.c.generation == generation, *of_run(selection))
    if conditions := of_step(selection):
        query = query.where(exists().where(same_run(), *conditions))
    return query


def select_steps(generation: int, selection: Selection) -> Select[Any]:
    """The query for the selected steps of a generation."""
    return (
        select(
            steps,
            runs.c.workflow,
            runs.c.opened_at,
            runs.c.definition,
            runs.c.status.label("run_status"),
        )
        .join_from(runs, steps, same_run())
        .where(runs.c.generation == generation, *of_run(selection), *of_step(selection))
    )


def run_batches(
    connection: Connection, query: Select[Any], rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a query for runs, in the columns of `RUNS`, so many at a time."""
    return _batches(connection, query, rows_at_once, RUNS, _run)


def step_batches(
    connection: Connection, query: Select[Any], rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a query for steps, in the columns of `STEPS`, so many at a time."""
    return _batches(connection, query, rows_at_once, STEPS, _step)


def same_run() -> ColumnElement[bool]:
    """That a step is of a run."""
    return and_(steps.c.generation == runs.c.generation, steps.c.request_id == runs.c.request_id)


def of_run(selection: Selection) -> list[ColumnElement[bool]]:
    """What a selection asks of runs."""
    conditions: list[ColumnElement[bool]] = []
    if selection.workflow is not None:
        conditions.append(runs.c.workflow == lift(selection.workflow))
    if selection.status is not None:
        conditions.append(runs.c.status == selection.status)
    if selection.definition is not None:
        conditions.append(runs.c.definition == selection.definition)
    if selection.since is not None:
        conditions.append(runs.c.opened_at >= selection.since)
    if selection.until is not None:
        conditions.append(runs.c.opened_at < selection.until)
    return conditions


def of_step(selection: Selection) -> list[ColumnElement[bool]]:
    """What a selection asks of steps."""
    conditions: list[ColumnElement[bool]] = []
    if selection.node is not None:
        conditions.append(steps.c.node_id == lift(selection.node))
    if selection.app is not None:
        conditions.append(steps.c.app_id == lift(selection.app))
    return conditions


def _run(row: Any) -> dict[str, Any]:
    queue = json.loads(row["queue"]) if row["queue"] else {}
    return {
        **row,
        "timed": bool(row["timed"]),
        "queued_us": queue.get("started_us"),
        **_failure(row["error"], row["close_reason"]),
    }


def _step(row: Any) -> dict[str, Any]:
    submitted, finished, inference = row["submitted_us"], row["finished_us"], row["inference_us"]
    duration = None if submitted is None or finished is None else finished - submitted
    overhead = None if duration is None or inference is None else duration - inference
    return {**row, "duration_us": duration, "overhead_us": overhead, **_failure(row["error"], None)}


def _failure(error: str | None, close_reason: str | None) -> dict[str, Any]:
    if error is None:
        return {}
    failure = json.loads(error)
    kind, field = _detail(failure["body"])
    return {
        "error_status": failure["status"],
        "error_kind": kind or close_reason or "error",
        "error_field": field,
        "error_message": failure["message"],
    }


def _detail(body: str | None) -> tuple[str | None, str | None]:
    """Kind and field of the first detail in fal's error body; None where it has none."""
    try:
        first = json.loads(body or "")["detail"][0]
        kind, loc = first["type"], first.get("loc") or []
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, None
    field = ".".join(map(str, loc)) if isinstance(loc, list) and loc else None
    return (kind if isinstance(kind, str) else None), field


def _batches(
    connection: Connection, query: Select[Any], rows_at_once: int, schema: pa.Schema, shape: Any
) -> Iterator[pa.RecordBatch]:
    options = {"yield_per": rows_at_once}
    with connection.execute(query, execution_options=options) as result:
        for rows in result.mappings().partitions():
            yield _batch(rows, schema, shape)


def _batch(rows: Sequence[Any], schema: pa.Schema, shape: Any) -> pa.RecordBatch:
    shaped: list[dict[str, Any]] = [shape(row) for row in rows]
    return pa.record_batch(
        [pa.array([row.get(field.name) for row in shaped], field.type) for field in schema],
        schema=schema,
    )
