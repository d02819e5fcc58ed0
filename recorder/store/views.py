"""Reading the tables derived from the log: runs and their steps, always of the live generation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    exists,
    func,
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
from recorder.store.tables import log_head, projections, runs, steps

MAX_PAGE: Final = 1_000

_live_generation = (
    select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
)
_PLACE: Final = (
    select(
        projections.c.generation, projections.c.position, log_head.c.position.label("log_position")
    )
    .join_from(projections, log_head, log_head.c.id == 1)
    .where(projections.c.name == RUNS)
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
        log_position: The end of the log in the same moment.
    """

    runs: list[Run]
    next_before: int | None
    as_of_position: int
    log_position: int


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
        values = _values(wanted, before, only)
        with self._database.reading() as connection:
            place = connection.execute(_PLACE).one()
            query = _page_query(connection.dialect.name, tuple(values))
            bounds = {"generation": place.generation, "limit": limit + 1}
            rows = _rows(connection, query, bounds | values)
            found = _with_steps(connection, rows[:limit], place.generation)
        more = len(rows) > limit
        next_before = found[-1].first_position if more else None
        return Page(found, next_before, place.position, place.log_position)


def _values(wanted: RunFilter, before: int | None, only: str | None) -> dict[str, Any]:
    """What narrows the list, by the names of `_CONDITIONS`."""
    given = {
        "only": only,
        "before": before,
        "workflow": lift(wanted.workflow),
        "status": lift(wanted.status),
        "since": wanted.since,
        "until": wanted.until,
        "app": lift(wanted.app),
        "any_id": lift(wanted.any_id),
        "anomaly": None if wanted.anomaly is None else _holding(f"{json.dumps(wanted.anomaly)}:"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _holding(text: str) -> str:
    """A LIKE pattern; escaped, so that a hostile name does not match more than itself."""
    for special in ("/", "%", "_"):
        text = text.replace(special, f"/{special}")
    return f"%{text}%"


@lru_cache(maxsize=256)
def _page_query(dialect: str, names: tuple[str, ...]) -> Select[Any]:
    """The query for a page narrowed by these; made once, as making it takes longer than running it."""
    query = (
        select(*_RUN_COLUMNS)
        .where(runs.c.generation == bindparam("generation"), *(_CONDITIONS[name] for name in names))
        .order_by(runs.c.first_position.desc())
        .limit(bindparam("limit"))
    )
    return _at_once(query) if dialect == "sqlite" else query


@lru_cache(maxsize=2)
def _steps_query(dialect: str) -> Select[Any]:
    query = select(*_STEP_COLUMNS).where(
        steps.c.generation == bindparam("generation"),
        steps.c.request_id.in_(bindparam("ids", expanding=True)),
    )
    return _at_once(query) if dialect == "sqlite" else query


def _at_once(query: Select[Any]) -> Select[Any]:
    """All rows of a query as one JSON text, in their order.

    sqlite3 gives up the interpreter lock at every row, and a few hundred rows read by several threads at
    once take most of their time to get it back (docs/performance.md).
    """
    return select(func.json_group_array(func.json_array(*query.subquery().c)))


def _has_step(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        steps.c.generation == runs.c.generation,
        steps.c.request_id == runs.c.request_id,
        condition,
    )


def _runs_of_step(step_request_id: ColumnElement[str]) -> Select[Any]:
    return select(steps.c.request_id).where(
        steps.c.generation == _live_generation, steps.c.step_request_id == step_request_id
    )


_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "only": runs.c.request_id == bindparam("only"),
    "before": runs.c.first_position < bindparam("before"),
    "workflow": runs.c.workflow == bindparam("workflow"),
    "status": runs.c.status == bindparam("status"),
    "since": runs.c.opened_at >= bindparam("since"),
    "until": runs.c.opened_at < bindparam("until"),
    "app": _has_step(steps.c.app_id == bindparam("app")),
    "any_id": or_(
        runs.c.request_id == bindparam("any_id"),
        runs.c.request_id.in_(_runs_of_step(bindparam("any_id"))),
    ),
    "anomaly": runs.c.anomalies.like(bindparam("anomaly"), escape="/"),
}


def _with_steps(connection: Connection, rows: Sequence[_Row], generation: int) -> list[Run]:
    of_run: dict[str, dict[StepKey, Step]] = {row[_ID]: {} for row in rows}
    if rows:
        query = _steps_query(connection.dialect.name)
        for row in _rows(connection, query, {"generation": generation, "ids": list(of_run)}):
            step = _step(row)
            of_run[row[_ID]][step.node_id, step.attempt] = step
    return [_run(row, of_run[row[_ID]]) for row in rows]


def _rows(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[_Row]:
    result = connection.execute(query, values)
    if connection.dialect.name == "sqlite":
        return _decode_rows(result.scalar_one())
    return result.all()


_Row = Sequence[Any]
_decode_rows: Final = msgspec.json.Decoder(list[list[Any]]).decode
_ID: Final = 0


# Columns are taken by their place, in the order of the tables; by name takes longer than reading them.


def _run(row: _Row, its_steps: dict[StepKey, Step]) -> Run:
    return Run(
        request_id=row[0],
        workflow=row[1],
        source=row[2],
        status=row[3],
        opened_at=row[4],
        closed_at=row[5],
        duration_us=row[6],
        first_event_us=row[7],
        close_reason=row[8],
        timed=bool(row[9]),
        events=row[10],
        first_position=row[11],
        as_of_position=row[12],
        anomalies={} if row[13] == "{}" else json.loads(row[13]),
        error=_failure(row[14]),
        mode=row[15],
        queue=None if row[16] is None else Queue(**json.loads(row[16])),
        definition=row[17],
        input_digest=row[18],
        parent=row[19],
        facts=Facts(*row[20:25]),
        steps=its_steps,
    )


def _step(row: _Row) -> Step:
    return Step(
        node_id=row[1],
        attempt=row[2],
        first_seq=row[3],
        app_id=row[4],
        step_request_id=row[5],
        status=row[6],
        submitted_us=row[7],
        finished_us=row[8],
        inference_us=row[9],
        error=_failure(row[10]),
        facts=Facts(*row[11:16]),
    )


def _failure(column: str | None) -> Failure | None:
    return None if column is None else Failure(**json.loads(column))
