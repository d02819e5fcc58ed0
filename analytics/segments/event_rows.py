"""Events as columns, read from the log a few at a time: frames may be long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, func, select

from analytics.schema import EVENTS, MOMENT, moments
from recorder.store.tables import events

_RUNS_AT_ONCE: Final = 64
_ROWS_AT_ONCE: Final = 64
BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_ROWS: Final = 20_000

_COLUMNS: Final = [
    *(events.c[name] for name in EVENTS.names if not name.startswith("frame")),
    func.length(events.c.frame).label("frame_bytes"),
    events.c.frame,
]


def events_of(
    connection: Connection,
    opened: Mapping[str, int | None],
    *,
    until: int,
    frames: bool = True,
    conditions: Sequence[ColumnElement[bool]] = (),
) -> Iterator[pa.Table]:
    """The events of some runs, run by run in the order given, each run's in order of `seq`.

    Args:
        connection: Where from.
        opened: The runs, and when each was opened; goes along as a column.
        until: Events beyond this position are left out.
        frames: Whether frames are read; NULL stands for them if not.
        conditions: On columns of `events`.

    Yields:
        Some MiB of rows at a time; a single frame may be longer.
    """
    ids = iter(opened)
    columns = _COLUMNS if frames else _COLUMNS[:-1]
    while group := list(islice(ids, _RUNS_AT_ONCE)):
        query = select(*columns).where(
            events.c.request_id.in_(group), events.c.position <= until, *conditions
        )
        query = query.order_by(events.c.request_id, events.c.seq)
        rows = connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
        yield from (_table(batch, opened) for batch in _batches(rows))


def _batches(rows: Any) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size_bytes = 0
    for row in rows:
        batch.append(row)
        size_bytes += row.frame_bytes or 0
        if size_bytes >= BATCH_BYTES or len(batch) >= BATCH_ROWS:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _table(batch: list[Any], opened: Mapping[str, int | None]) -> pa.Table:
    values = list(zip(*batch, strict=True))
    arrays = [
        moments(column) if field.type == MOMENT else pa.array(column, field.type)
        for column, field in zip(values, EVENTS, strict=False)
    ]
    if len(arrays) < len(EVENTS):
        arrays.append(pa.nulls(len(batch), EVENTS.field("frame").type))
    opened_at = moments(opened[row.request_id] for row in batch)
    return pa.Table.from_arrays([*arrays, opened_at], [*EVENTS.names, "opened_at"])
