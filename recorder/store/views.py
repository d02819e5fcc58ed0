"""Reading the tables derived from the log: runs and their steps, always of the live generation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from recorder.documents import Mode
from recorder.errors import BadQuery
from recorder.events import CloseReason, lift
from recorder.projections.outputs import Facts
from recorder.projections.queue import Queue
from recorder.projections.runs import Run, RunStatus
from recorder.projections.steps import Failure, Step
from recorder.store.engine import Database
from recorder.store.generations import RUNS, Checkpoint, read_checkpoint
from recorder.store.tables import log_head, projections, runs, steps

MAX_PAGE: Final = 1_000

ONE_AT_A_TIME: Final = threading.Lock()
"""Held by a thread while it makes objects of a page's rows, or documents of those: no waiting for anything.

Threads that did so together would take the interpreter lock from each other again and again, and from the
event loop (docs/performance.md).
"""

_live_generation = (
    select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
)


def refuse_reversed(since: int | None, until: int | None) -> None:
    """Refuses a window that ends before it begins; one without length just holds nothing.

    Raises:
        BadQuery: It does.
    """
    if since is not None and until is not None and since > until:
        raise BadQuery("since", "is after until")


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; what is None does not filter.

    Attributes:
        workflow: Exact endpoint id.
        app: Runs with a step of this app.
        status: Exact run status.
        since, until: Opened at or after, opened before; microseconds since 1970 in UTC.
        any_id: The run's own request id, or one of its steps'.
        anomaly: Runs that show this anomaly.

    Raises:
        BadQuery: The window ends before it begins.
    """

    workflow: str | None = None
    app: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None
    any_id: str | None = None
    anomaly: str | None = None

    def __post_init__(self) -> None:
        refuse_reversed(self.since, self.until)


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
        statement = _statement(self._database.engine.dialect, tuple(values))
        position, log_position, text = self._database.read_row(
            statement.text, statement.in_place({"limit": limit + 1, **values})
        )
        with ONE_AT_A_TIME:
            rows = _decode_rows(text)
            found = [_run(row) for row in rows[:limit]]
        next_before = found[-1].first_position if len(rows) > limit else None
        return Page(found, next_before, position, log_position)


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


class _Statement:
    """A query in the words of a driver."""

    def __init__(self, query: Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect)
        self.text = str(compiled)
        self._fixed = compiled.params
        self._places = compiled.positiontup if isinstance(compiled, SQLCompiler) else None

    def in_place(self, values: dict[str, Any]) -> Sequence[Any] | dict[str, Any]:
        """The values as the driver takes them: by place for SQLite, else by name."""
        named = {**self._fixed, **values}
        return named if self._places is None else [named[name] for name in self._places]


@lru_cache(maxsize=256)
def _statement(dialect: Dialect, names: tuple[str, ...]) -> _Statement:
    """For a page narrowed by these; made once, as making it takes longer than running it."""
    return _Statement(_page_query(dialect.name == "sqlite", names), dialect)


def _page_query(is_sqlite: bool, names: tuple[str, ...]) -> Select[Any]:
    """The query for a page narrowed by these.

    One row: how far things have come, and the page as JSON text, see `_RunRow`. As a statement it sees one
    state of the database. As text it takes one step of the driver's cursor: sqlite3 gives up the interpreter
    lock at every row, and a few hundred rows read by several threads at once take most of their time to get
    it back (docs/performance.md).
    """
    texts = _SQLITE if is_sqlite else _POSTGRESQL
    page = (
        select(runs)
        .where(runs.c.generation == _live_generation, *(_CONDITIONS[name] for name in names))
        .order_by(runs.c.first_position.desc())
        .limit(bindparam("limit"))
        .subquery("page")
    )
    step = texts.array(texts.array(*_columns(steps, Step, texts)), steps.c.error)
    its_steps = select(texts.list_of(step)).where(
        steps.c.generation == page.c.generation, steps.c.request_id == page.c.request_id
    )
    run = texts.array(*_columns(page, _RunRow, texts), its_steps.scalar_subquery())
    rows = select(cast(texts.list_of(run), Text)).select_from(page).scalar_subquery()
    return (
        select(
            projections.c.position, log_head.c.position.label("log_position"), rows.label("rows")
        )
        .join_from(projections, log_head, log_head.c.id == 1)
        .where(projections.c.name == RUNS)
    )


class _JsonTexts(msgspec.Struct, frozen=True):
    """How a database says what makes JSON text: an array of values, and a list of rows, `[]` for none."""

    array: Callable[..., ColumnElement[Any]]
    list_of: Callable[[ColumnElement[Any]], ColumnElement[Any]]


_SQLITE: Final = _JsonTexts(func.json_array, func.json_group_array)
_POSTGRESQL: Final = _JsonTexts(
    func.json_build_array,
    lambda row: func.coalesce(func.json_agg(row), literal_column("'[]'")),
)


def _columns(
    table: FromClause, kind: type[msgspec.Struct], texts: _JsonTexts
) -> Iterator[ColumnElement[Any]]:
    """Columns in the order of the fields they are read into, but for the last, which is no column."""
    for name in kind.__struct_fields__[:-1]:
        if name == "facts":
            yield texts.array(*(table.c[fact] for fact in Facts.__struct_fields__))
        else:
            yield table.c[name]


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


class _StepRow(msgspec.Struct, array_like=True, gc=False):
    """A step without its error, which may hold escapes that msgspec takes for no JSON; and that."""

    step: Step
    error: str | None


class _RunRow(msgspec.Struct, array_like=True, gc=False):
    """A run as it is stored, with its steps."""

    request_id: str
    workflow: str
    source: str
    mode: Mode
    status: RunStatus
    opened_at: int | None
    closed_at: int | None
    duration_us: int | None
    first_event_us: int | None
    close_reason: CloseReason | None
    timed: int
    events: int
    first_position: int
    as_of_position: int
    anomalies: str
    error: str | None
    queue: str | None
    definition: str | None
    input_digest: str | None
    parent: str | None
    facts: Facts
    steps: list[_StepRow]


_decode_rows: Final = msgspec.json.Decoder(list[_RunRow]).decode


def _run(row: _RunRow) -> Run:
    its_steps = [_step(step) for step in row.steps]
    return Run(
        request_id=row.request_id,
        workflow=row.workflow,
        source=row.source,
        mode=row.mode,
        status=row.status,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        duration_us=row.duration_us,
        first_event_us=row.first_event_us,
        close_reason=row.close_reason,
        timed=bool(row.timed),
        events=row.events,
        first_position=row.first_position,
        as_of_position=row.as_of_position,
        steps={(step.node_id, step.attempt): step for step in its_steps},
        anomalies={} if row.anomalies == "{}" else json.loads(row.anomalies),
        error=_failure(row.error),
        queue=None if row.queue is None else Queue(**json.loads(row.queue)),
        definition=row.definition,
        input_digest=row.input_digest,
        parent=row.parent,
        facts=row.facts,
    )


def _step(row: _StepRow) -> Step:
    if row.error is None:
        return row.step
    return msgspec.structs.replace(row.step, error=_failure(row.error))


def _failure(column: str | None) -> Failure | None:
    return None if column is None else Failure(**json.loads(column))
