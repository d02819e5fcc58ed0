"""Reading the tables derived from the log: runs and their steps, always of the live generation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    exists,
    or_,
    select,
)

from recorder.errors import BadQuery
from recorder.events import lift
from recorder.projections.outputs import Facts
from recorder.projections.queue import Queue
from recorder.projections.runs import Run
from recorder.projections.steps import Failure, Step, StepKey
from recorder.store.engine import Database
from recorder.store.generations import RUNS, Checkpoint, read_checkpoint
from recorder.store.tables import projections, runs, steps

MAX_PAGE: Final = 1_000

_live_generation = (
    select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
)
_RUN_COLUMNS: Final = [column for column in runs.columns if column.name != "generation"]
_STEP_COLUMNS: Final = [column for column in steps.columns if column.name != "generation"]


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; what is None does not filter.

    Attributes:
        workflow: Exact endpoint id.
        app: Runs with a step of this app.
        status: Exact run status.
        since, until: Opened at or after, opened before; microseconds since 1970 in UTC.
        any_id: The run's own request id, or one of its steps'.
        anomaly: Runs that show this anomaly.
    """

    workflow: str | None = None
    app: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None
    any_id: str | None = None
    anomaly: str | None = None


class Page(msgspec.Struct, frozen=True):
    """A page of runs, newest first.

    Attributes:
        runs: With their steps.
        next_before: Cursor for the next page; None on the last.
        as_of_position: The log position this answer is derived from.
    """

    runs: list[Run]
    next_before: int | None
    as_of_position: int


class Views:
    """Reads runs and steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def checkpoint(self) -> Checkpoint:
        """How far the live generation has come."""
        with self._database.reading() as connection:
            return read_checkpoint(connection, RUNS)

    def run(self, request_id: str) -> Run | None:
        """A run with its steps, None where there is none of this id."""
        page = self.page(RunFilter(), limit=1, only=lift(request_id))
        return page.runs[0] if page.runs else None

    def page(
        self,
        wanted: RunFilter,
        *,
        limit: int = 50,
        before: int | None = None,
        only: str | None = None,
    ) -> Page:
        """Lists runs, newest first, by keyset: the last page costs what the first does.

        Args:
            wanted: Filters, all of which have to hold.
            limit: Runs a page, 1 to `MAX_PAGE`.
            before: The `next_before` of the page before.
            only: A single run's id.

        Raises:
            BadQuery: The limit is out of range.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadQuery("limit", f"is from 1 to {MAX_PAGE}")
        query = (
            select(*_RUN_COLUMNS)
            .where(runs.c.generation == _live_generation, *_conditions(wanted, before, only))
            .order_by(runs.c.first_position.desc())
            .limit(limit + 1)
        )
        with self._database.reading() as connection:
            checkpoint = read_checkpoint(connection, RUNS)
            rows = connection.execute(query).all()
            found = _with_steps(connection, rows[:limit], checkpoint.generation)
        more = len(rows) > limit
        return Page(found, found[-1].first_position if more else None, checkpoint.position)


def _conditions(
    wanted: RunFilter, before: int | None, only: str | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if only is not None:
        conditions.append(runs.c.request_id == only)
    if before is not None:
        conditions.append(runs.c.first_position < before)
    if wanted.workflow is not None:
        conditions.append(runs.c.workflow == lift(wanted.workflow))
    if wanted.status is not None:
        conditions.append(runs.c.status == lift(wanted.status))
    if wanted.since is not None:
        conditions.append(runs.c.opened_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(runs.c.opened_at < wanted.until)
    if wanted.app is not None:
        conditions.append(_has_step(steps.c.app_id == lift(wanted.app)))
    if wanted.any_id is not None:
        any_id = lift(wanted.any_id)
        conditions.append(
            or_(runs.c.request_id == any_id, runs.c.request_id.in_(_runs_of_step(any_id)))
        )
    if wanted.anomaly is not None:
        # Names are plain words; escaping keeps a hostile one from matching more than itself.
        name = json.dumps(wanted.anomaly)
        conditions.append(runs.c.anomalies.contains(f"{name}:", autoescape=True))
    return conditions


def _has_step(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        steps.c.generation == runs.c.generation,
        steps.c.request_id == runs.c.request_id,
        condition,
    )


def _runs_of_step(step_request_id: str | None) -> Select[Any]:
    return select(steps.c.request_id).where(
        steps.c.generation == _live_generation, steps.c.step_request_id == step_request_id
    )


def _with_steps(connection: Connection, rows: Sequence[Row[Any]], generation: int) -> list[Run]:
    query = select(*_STEP_COLUMNS).where(
        steps.c.generation == generation,
        steps.c.request_id.in_([row.request_id for row in rows]),
    )
    of_run: dict[str, dict[StepKey, Step]] = {row.request_id: {} for row in rows}
    for row in connection.execute(query) if rows else ():
        of_run[row.request_id][row.node_id, row.attempt] = _step(row)
    return [_run(row, of_run[row.request_id]) for row in rows]


def _run(row: Row[Any], its_steps: dict[StepKey, Step]) -> Run:
    fields = row._asdict()
    fields["anomalies"] = json.loads(row.anomalies)
    fields["error"] = _failure(row.error)
    fields["timed"] = bool(row.timed)
    fields["facts"] = _facts(fields)
    fields["queue"] = None if row.queue is None else Queue(**json.loads(row.queue))
    return Run(**fields, steps=its_steps)


def _step(row: Row[Any]) -> Step:
    fields = row._asdict()
    del fields["request_id"]
    fields["facts"] = _facts(fields)
    fields["error"] = _failure(row.error)
    return Step(**fields)


def _facts(fields: dict[str, Any]) -> Facts:
    """Takes the facts of an output out of the other columns."""
    return Facts(**{name: fields.pop(name) for name in Facts.__struct_fields__})


def _failure(column: str | None) -> Failure | None:
    return None if column is None else Failure(**json.loads(column))
