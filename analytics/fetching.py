"""Rows of `runs` and `steps` as columns, some thousand runs at a time.

The database builds the columns: one JSON array for each, decoded at once. Fetching rows and turning them
takes more than twice as long (docs/performance.md). JSON tells NULL from '' and keeps every string a
database of ours can hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    TextClause,
    and_,
    bindparam,
    func,
    select,
    text,
    tuple_,
)

from analytics.path_columns import path_columns
from analytics.schema import RUNS, STEPS, moments
from analytics.waits import graphs_of
from recorder.store.tables import runs, steps

CHUNK_RUNS: Final = 4_000
CHUNK_EVENTS: Final = 200_000
"""A chunk ends early once its runs have so many events, for no run has more steps than events."""

_NOT_READ: Final = frozenset({"generation", "error", "first_seq"})
_RUN_COLUMNS: Final = [column for column in runs.c if column.name not in _NOT_READ]
_STEP_COLUMNS: Final = [column for column in steps.c if column.name not in _NOT_READ]
_RUN_ROWS: Final = select(*_RUN_COLUMNS, runs.c.error.isnot(None).label("failed"))
_STEP_ROWS: Final = select(*_STEP_COLUMNS, steps.c.error.isnot(None).label("failed"))
_OF_RUN: Final = {"workflow": "workflow", "opened_at": "opened_at", "status": "run_status", "definition": "definition"}  # fmt: skip
"""What a step has of its run, and what it is called there."""

_decode_texts: Final = msgspec.json.Decoder(list[str | None]).decode
_decode_numbers: Final = msgspec.json.Decoder(list[int | None]).decode


class Which(NamedTuple):
    """Which runs to read, and in what order.

    Attributes:
        generation: Of the tables.
        conditions: On columns of `runs`.
        order: Columns of `runs` that no two runs share the values of, none of them NULL.
        by_index: The index that finds them in SQLite, which keeps no statistics to choose by; None to let it.
        of_steps: What columns of `steps` have to be: which of the runs' steps to return.
    """

    generation: int
    conditions: Sequence[ColumnElement[bool]]
    order: Sequence[Column[Any]] = (runs.c.as_of_position,)
    by_index: str | None = None
    of_steps: Mapping[str, str] = {}


class Chunk(NamedTuple):
    """Some runs and their steps, in the columns of `RUNS` and `STEPS`; runs in the order asked for."""

    runs: pa.RecordBatch
    steps: pa.RecordBatch


def chunks(connection: Connection, which: Which) -> Iterator[Chunk]:
    """Reads runs with their steps."""
    for made in run_batches(connection, which):
        yield Chunk(made, _read_steps(connection, which, made))


def run_batches(connection: Connection, which: Which) -> Iterator[pa.RecordBatch]:
    """Reads runs alone."""
    after: tuple[object, ...] | None = None
    while True:
        found = _read(connection, _runs_query(which, after), _RUN_COLUMNS)
        count = len(found["request_id"])
        if not count:
            return
        found = _cut(found)
        after = tuple(found[column.name][-1] for column in which.order)
        made = _runs_batch(connection, which.generation, found)
        yield made
        if count < CHUNK_RUNS and made.num_rows == count:
            return


def _runs_query(which: Which, after: tuple[object, ...] | None) -> Select[Any]:
    query = _RUN_ROWS.where(runs.c.generation == which.generation, *which.conditions)
    if which.by_index is not None:
        query = query.with_hint(runs, f"INDEXED BY {which.by_index}", "sqlite")
    if after is not None:
        query = query.where(tuple_(*which.order) > tuple_(*after))
    return query.order_by(*which.order).limit(CHUNK_RUNS)


_Columns = dict[str, Any]


def _read(connection: Connection, rows: Select[Any], columns: Sequence[Column[Any]]) -> _Columns:
    """Runs a query; its columns by name. `failed` is the number of rows that are."""
    names = tuple(column.name for column in columns)
    arrays = _arrays(connection.dialect.name, names)
    *texts, failures = connection.execute(select(arrays).select_from(rows.subquery("q"))).one()
    found: _Columns = {}
    for column, array in zip(columns, texts, strict=True):
        decode = _decode_texts if isinstance(column.type, Text) else _decode_numbers
        found[column.name] = [] if array is None else decode(array)
    found["failed"] = [failures]
    return found


@cache
def _arrays(dialect: str, names: tuple[str, ...]) -> TextClause:
    """A JSON array of each column of `q`, then how many of its rows failed.

    As text: to build it of expressions takes longer than a small answer does.
    """
    array = "json_group_array(q.{})" if dialect == "sqlite" else "json_agg(q.{})::text"
    return text(", ".join([*map(array.format, names), "count(*) FILTER (WHERE q.failed)"]))


def _cut(found: _Columns) -> _Columns:
    """The first runs, as many as have `CHUNK_EVENTS` events, at least one."""
    events = 0
    for count, of_run in enumerate(found["events"]):
        events += of_run
        if events > CHUNK_EVENTS and count:
            return {name: values[:count] for name, values in found.items()}
    return found


def _runs_batch(connection: Connection, generation: int, found: _Columns) -> pa.RecordBatch:
    found["timed"] = [bool(timed) for timed in found["timed"]]
    for name in ("opened_at", "closed_at"):
        found[name] = moments(found[name])
    found["queued_us"] = [_queued_us(queue) for queue in found["queue"]]
    ids = found["request_id"]
    if found["failed"] != [0]:
        reasons = found["close_reason"]
        failures = {row.request_id: row.error for row in _errors(connection, runs, generation, ids)}
        told = [failure(failures.get(id_), why) for id_, why in zip(ids, reasons, strict=True)]
        found |= _transposed(told)
    return _batch(found, len(ids), RUNS)


def _queued_us(queue: str | None) -> int | None:
    told: int | None = None if queue is None else json.loads(queue).get("started_us")
    return told


def _read_steps(connection: Connection, which: Which, of: pa.RecordBatch) -> pa.RecordBatch:
    """The wanted steps of some runs; all are read, for their paths depend on each other."""
    ids = of.column("request_id").to_pylist()
    among = _among(connection, steps, ids)
    query = _STEP_ROWS.where(steps.c.generation == which.generation, among)
    found = _read(connection, query, _STEP_COLUMNS)
    count = len(found["request_id"])
    if found["failed"] != [0]:
        rows = _errors(connection, steps, which.generation, ids)
        failures = {(row.request_id, row.node_id, row.attempt): row.error for row in rows}
        keys = zip(found["request_id"], found["node_id"], found["attempt"], strict=True)
        found |= _transposed([failure(failures.get(key), None) for key in keys])
    request_ids = pa.array(found["request_id"], pa.string())
    place = pc.index_in(request_ids, value_set=of.column("request_id"))
    known: dict[str, Any] = {
        name: of.column(theirs).take(place) for theirs, name in _OF_RUN.items()
    }
    known["request_id"] = request_ids
    for name in ("submitted_us", "finished_us", "inference_us"):
        known[name] = pa.array(found[name], pa.int64())
    known["duration_us"] = pc.subtract(known["finished_us"], known["submitted_us"])
    known["overhead_us"] = pc.subtract(known["duration_us"], known["inference_us"])
    known["node_id"] = pa.array(found["node_id"], pa.string())
    graphs = graphs_of(connection, of.column("definition").unique().drop_null().to_pylist())
    known |= path_columns(place.to_numpy(), known, graphs)
    return _wanted(_batch(found | known, count, STEPS), which)


def _wanted(batch: pa.RecordBatch, which: Which) -> pa.RecordBatch:
    for name, value in which.of_steps.items():
        batch = batch.filter(pc.equal(batch.column(name), value))
    return batch


def _among(connection: Connection, table: Table, ids: Sequence[str]) -> ColumnElement[bool]:
    """Of one of these runs. To write and read thousands of parameters takes longer than an array of them."""
    if connection.dialect.name == "postgresql":
        return table.c.request_id == func.any(bindparam("ids", list(ids), ARRAY(Text)))
    return table.c.request_id.in_(bindparam("ids", list(ids), expanding=True))


def _errors(
    connection: Connection,
    table: Table,
    generation: int,
    ids: Sequence[str],
) -> Any:
    """Rows that failed, as they come: their errors may be long, and together too long for a JSON array."""
    keys = [column for column in table.primary_key if column.name != "generation"]
    query = select(*keys, table.c.error).where(
        and_(table.c.generation == generation, table.c.error.isnot(None)),
        _among(connection, table, ids),
    )
    return connection.execute(query, execution_options={"yield_per": 256})


_FAILURE: Final = ("error_status", "error_kind", "error_field", "error_message")
_Failure = tuple[int | None, str | None, str | None, str | None]


def failure(error: str | None, close_reason: str | None) -> _Failure:
    """The columns of `_FAILURE` for what a row has under `error`."""
    if error is None:
        return None, None, None, None
    told = json.loads(error)
    kind, field = _detail(told["body"])
    return (
        told["status"],
        _encodable(kind or (close_reason if close_reason != "eof" else None) or "error"),
        _encodable(field),
        _encodable(told["message"]),
    )


def _detail(body: str | None) -> tuple[str | None, str | None]:
    """Kind and field of the first detail in fal's error body; None where it has none."""
    try:
        first = json.loads(body or "")["detail"][0]
        kind, loc = first["type"], first.get("loc") or []
        field = ".".join(map(str, loc)) if isinstance(loc, list) and loc else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, None
    return (kind if isinstance(kind, str) else None), field


def _encodable(text: str | None) -> str | None:
    """Unpaired surrogates, which JSON can hold and UTF-8 cannot, become question marks."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _transposed(told: list[_Failure]) -> _Columns:
    return dict(zip(_FAILURE, map(list, zip(*told, strict=True)), strict=True))


def _batch(found: dict[str, Any], count: int, schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([_array(found.get(of.name), of, count) for of in schema], schema)


def _array(values: Any, field: pa.Field, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, field.type)
    return values if isinstance(values, pa.Array) else pa.array(values, field.type)
