"""Writing the tables derived from the log, and swapping one generation of them for another.

Rows carry a generation. Readers see the generation that `projections` names as live, so a rebuild
fills another one beside it and a single update swaps the two. Every function here works inside the
caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Final

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    union,
    update,
)

from recorder.errors import LogError
from recorder.projections.runs import Run
from recorder.projections.steps import Failure, Step
from recorder.store.binding import Row, sqlite_rows
from recorder.store.tables import projections, runs, steps

RUNS: Final = "runs"
"""The projection that fills `runs` and `steps`."""

_ROWS_A_STATEMENT: Final = 32
"""SQLite takes so many rows in one statement in three quarters of the time, and with the interpreter lock
given up less often."""


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a projection has come: everything up to `position` is in `generation`.

    Attributes:
        chain: The log's chain at that position; None where it was not noted.
    """

    generation: int
    position: int
    chain: bytes | None = None


def read_checkpoint(connection: Connection, name: str, *, lock: bool = False) -> Checkpoint:
    """How far a projection has come; `lock` keeps it there until the transaction ends."""
    query = select(projections.c.generation, projections.c.position, projections.c.chain).where(
        projections.c.name == name
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise LogError(f"there is no projection {name}")
    return Checkpoint(*row)


def move_checkpoint(connection: Connection, name: str, checkpoint: Checkpoint) -> None:
    """Notes how far a projection has come, in the transaction that writes its rows."""
    connection.execute(
        update(projections)
        .where(projections.c.name == name)
        .values(
            generation=checkpoint.generation,
            position=checkpoint.position,
            chain=checkpoint.chain,
        )
    )


def start_generation(connection: Connection, name: str, live: str) -> Checkpoint:
    """Begins an empty generation beside the live one, for a projection being rebuilt.

    Whatever an interrupted rebuild left, before or after its swap, is cleared away.
    """
    live_generation = read_checkpoint(connection, live, lock=True).generation
    generation = live_generation + 1
    connection.execute(delete(projections).where(projections.c.name == name))
    for table in (steps, runs):
        connection.execute(delete(table).where(table.c.generation != live_generation))
    connection.execute(insert(projections).values(name=name, generation=generation, position=0))
    return Checkpoint(generation, 0)


def end_generation(connection: Connection, name: str) -> None:
    """Forgets a rebuild's checkpoint, once its generation is live."""
    connection.execute(delete(projections).where(projections.c.name == name))


def carry_over(connection: Connection, old: Checkpoint, new: Checkpoint) -> None:
    """Lets what was made from an old generation count as made from the new one, which tells the same.

    Only as far as the two were compared: what has come beyond that may differ.
    """
    connection.execute(
        update(projections)
        .where(projections.c.name != RUNS)
        .where(projections.c.generation == old.generation, projections.c.position <= old.position)
        .values(generation=new.generation)
    )


def drop_generation(connection: Connection, generation: int) -> None:
    """Deletes a generation's rows."""
    for table in (steps, runs):
        connection.execute(delete(table).where(table.c.generation == generation))


def write_runs(
    connection: Connection, generation: int, changed: Iterable[tuple[Run, Iterable[Step]]]
) -> None:
    """Inserts or replaces runs, and those of their steps that changed."""
    run_rows: list[Row] = []
    step_rows: list[Row] = []
    for run, changed_steps in changed:
        run_rows.append(_run_row(generation, run))
        step_rows += [_step_row(generation, run.request_id, step) for step in changed_steps]
    _upsert_all(connection, runs, run_rows)
    _upsert_all(connection, steps, step_rows)


def _failure_column(failure: Failure | None) -> str | None:
    # Plain ASCII: no database refuses an escaped NUL or surrogate.
    return None if failure is None else json.dumps(msgspec.structs.asdict(failure))


def _run_row(generation: int, run: Run) -> Row:
    """The values in the order of the table's columns."""
    return (
        generation,
        run.request_id,
        run.workflow,
        run.source,
        run.status,
        run.opened_at,
        run.closed_at,
        run.duration_us,
        run.first_event_us,
        run.close_reason,
        int(run.timed),
        run.events,
        run.first_position,
        run.as_of_position,
        json.dumps(dict(sorted(run.anomalies.items()))) if run.anomalies else "{}",
        _failure_column(run.error),
        run.mode,
        None if run.queue is None else json.dumps(msgspec.structs.asdict(run.queue)),
        run.definition,
        run.input_digest,
        run.parent,
        *msgspec.structs.astuple(run.facts),
    )


def _step_row(generation: int, request_id: str, step: Step) -> Row:
    """The values in the order of the table's columns."""
    return (
        generation,
        request_id,
        step.node_id,
        step.attempt,
        step.first_seq,
        step.app_id,
        step.step_request_id,
        step.status,
        step.submitted_us,
        step.finished_us,
        step.inference_us,
        _failure_column(step.error),
        *msgspec.structs.astuple(step.facts),
    )


def _upsert_all(connection: Connection, table: Table, rows: list[Row]) -> None:
    """In the driver's own way: through SQLAlchemy's execution a row takes twice as long."""
    if connection.dialect.name == "sqlite":
        rows = sqlite_rows(rows)
        in_groups = len(rows) - len(rows) % _ROWS_A_STATEMENT
        statement = _upsert(table, "?", rows=_ROWS_A_STATEMENT)
        for start in range(0, in_groups, _ROWS_A_STATEMENT):
            group = rows[start : start + _ROWS_A_STATEMENT]
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(group)))
        rows, statement = rows[in_groups:], _upsert(table, "?")
    else:
        statement = _upsert(table, "%s")
    if rows:
        connection.exec_driver_sql(statement, rows)


@cache
def _upsert(table: Table, place: str, *, rows: int = 1) -> str:
    """In the words of a driver, values by their place in the table; both databases know this form."""
    row = f"({', '.join(place for _ in table.columns)})"
    values = ", ".join(f"{name} = excluded.{name}" for name in _values(table))
    return (
        f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) "
        f"VALUES {', '.join([row] * rows)} "
        f"ON CONFLICT ({', '.join(table.primary_key.columns.keys())}) DO UPDATE SET {values}"
    )


def count_differences(connection: Connection, live: Checkpoint, built: Checkpoint) -> int:
    """How many runs two generations tell differently, as far as both have come.

    A run that went on in one generation beyond the other's checkpoint is left out.
    """
    until = min(live.position, built.position)
    generations = (live.generation, built.generation)
    went_on = select(runs.c.request_id).where(
        runs.c.generation.in_(generations), runs.c.as_of_position > until
    )
    differing = union(
        *(_unmatched(table, *generations, _values(table)) for table in (runs, steps)),
        # Rows that both have were compared by now.
        *(_unmatched(table, *generations[::-1]) for table in (runs, steps)),
    ).subquery()
    query = (
        select(func.count()).select_from(differing).where(differing.c.request_id.not_in(went_on))
    )
    return connection.execute(query).scalar_one()


def _unmatched(
    table: Table, one: int, other: int, values: Iterable[str] = ()
) -> Select[tuple[str]]:
    """The runs of rows of one generation that the other has not, or not with the same of these values."""
    row, twin = table.alias(), table.alias()
    keys = [column.name for column in table.primary_key if column.name != "generation"]
    same_row = and_(twin.c.generation == other, *(row.c[name] == twin.c[name] for name in keys))
    missing = twin.c.generation.is_(None)
    differs = or_(missing, *(row.c[name].is_distinct_from(twin.c[name]) for name in values))
    joined = row.outerjoin(twin, same_row)
    return select(row.c.request_id).select_from(joined).where(row.c.generation == one, differs)


def _values(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]
