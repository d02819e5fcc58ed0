"""Small relations to ask questions of, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from analytics.asking import answering
from analytics.moments import EPOCH
from analytics.path_columns import path_columns
from analytics.prices import Prices
from analytics.question import Asked, Question
from analytics.schema import RUNS, STEPS
from recorder.graph import Graph
from tests.builders import WORKFLOW

T0 = datetime(2026, 11, 23, 6, 0)
"""When the runs of these tests begin: a Monday."""
NOW = T0 + timedelta(hours=2)

Row = dict[str, Any]


def run(request_id: str = "run", **fields: Any) -> Row:
    """A completed run of a second that began at `T0`."""
    opened_at = fields.get("opened_at", T0)
    duration_us = fields.get("duration_us", 1_000_000)
    ended = (
        None
        if None in (opened_at, duration_us)
        else opened_at + timedelta(microseconds=duration_us)
    )
    return {
        "request_id": request_id,
        "workflow": WORKFLOW,
        "status": "completed",
        "opened_at": T0,
        "closed_at": ended,
        "duration_us": duration_us,
    } | fields


def step(request_id: str = "run", node_id: str = "a", **fields: Any) -> Row:
    """A completed step from 0 to 100 µs that took 60 µs to infer."""
    times = {"submitted_us": 0, "finished_us": 100, "inference_us": 60} | fields
    submitted, finished, inference = (
        times[name] for name in ("submitted_us", "finished_us", "inference_us")
    )
    duration = None if None in (submitted, finished) else finished - submitted
    overhead = None if None in (duration, inference) else duration - inference
    return {
        "request_id": request_id,
        "workflow": WORKFLOW,
        "opened_at": T0,
        "run_status": "completed",
        "node_id": node_id,
        "attempt": 1,
        "app_id": "fal-ai/app",
        "status": "completed",
        "duration_us": duration,
        "overhead_us": overhead,
    } | times


def ask(
    question: Question,
    runs: Iterable[Row] = (),
    steps: Iterable[Row] = (),
    *,
    now: datetime = NOW,
    graphs: Mapping[str, Graph] | None = None,
    prices: Prices | None = None,
) -> list[Row]:
    """The rows of the answer."""
    tables = {
        "runs": pa.Table.from_pylist([*runs], RUNS),
        "steps": with_paths([*steps], graphs or {}),
    }
    with answering(tables) as snapshot:
        asked = Asked(
            snapshot,
            now_us=us(now),
            prices=lambda: prices,
        )
        rows: list[Row] = question.answer(asked).to_pylist()
        return rows


def with_paths(steps: list[Row], graphs: Mapping[str, Graph]) -> pa.Table:
    """Steps with the columns that paths tell, as rows of a log have them."""
    table = pa.Table.from_pylist(steps, STEPS).combine_chunks()
    if not steps:
        return table
    known = {name: table.column(name).chunk(0) for name in table.column_names}
    runs = table.column("request_id").combine_chunks().dictionary_encode().indices
    known |= path_columns(runs.to_numpy(), known, graphs)
    return pa.table([known[name] for name in STEPS.names], schema=STEPS)


def us(at: datetime) -> int:
    """A moment of the relations in microseconds since 1970."""
    return (at - EPOCH.replace(tzinfo=None)) // timedelta(microseconds=1)


def columns(rows: Iterable[Row], *names: str) -> list[tuple[Any, ...]]:
    """Some columns of an answer."""
    return [tuple(row[name] for name in names) for row in rows]
