"""Engines: how we talk to SQLite and PostgreSQL.

Durability is set here. SQLite runs in WAL mode with `synchronous=FULL`, so a commit is on the disk
when it returns; PostgreSQL runs with `synchronous_commit=on`.

Never open the live SQLite file with a second SQLite library or a plain `open()` inside the
writer's process: closing it drops the process's POSIX locks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)

from recorder.errors import LogError, LogUnavailable

_BUSY_TIMEOUT_S: Final = 30


class Database:
    """An engine and the one way to write through it.

    Attributes:
        engine: For reads; a transaction sees one state of the database.
        is_sqlite: Whether the database is SQLite, else it is PostgreSQL.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._read_options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        # SQLite has one writer at a time and lets a second one wait by sleeping; within a process
        # a lock hands over at once.
        self._write_gate = threading.Lock() if self.is_sqlite else _OpenGate()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; driver errors come as `LogUnavailable`."""
        with _translated(), self.engine.connect() as connection:
            yield connection.execution_options(**self._read_options)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; it commits at the end, or rolls back on an exception."""
        with _translated(), self._write_gate, self.engine.connect() as connection:
            writer = connection.execution_options(recorder_writes=True)
            with writer.begin():
                yield writer

    def close(self) -> None:
        """Closes all connections; the object opens new ones when used again."""
        self.engine.dispose()


class _OpenGate:
    """A lock that never holds anybody up."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def connect(url: str) -> Database:
    """Makes a database from a SQLAlchemy URL; nothing is opened yet.

    `postgresql://` and `postgres://` mean psycopg 3. The folder of a SQLite file is created.

    Raises:
        LogError: The URL is none, or names another kind of database or a missing driver.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LogError("the database URL is not a SQLAlchemy URL") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return Database(_sqlite_engine(url))
    if kind in ("postgresql", "postgres"):
        return Database(_postgres_engine(url))
    raise LogError(f"the log lives in SQLite or PostgreSQL, not in {kind}")


def _sqlite_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.database in (None, "", ":memory:"):
        raise LogError("the log wants a SQLite file; a database in memory is lost with the process")
    assert parsed.database is not None
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"cannot make the folder of {parsed.database}: {error.strerror}") from None
    engine = create_engine(
        parsed.set(drivername="sqlite+pysqlite"), connect_args={"timeout": _BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",  # so that REPLACE meets the triggers that refuse DELETE
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("recorder_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(url: str) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    own_options = parsed.query.get("options", "")
    options = f"{own_options} -c synchronous_commit=on".strip()
    try:
        return create_engine(
            parsed, pool_size=10, pool_pre_ping=True, connect_args={"options": options}
        )
    except (ImportError, NoSuchModuleError):
        raise LogError(
            "PostgreSQL needs the driver psycopg: pip install 'fal-flight-recorder[postgres]'"
        ) from None


@contextmanager
def _translated() -> Iterator[None]:
    """The one place where driver errors become ours; their text holds no parameters."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise LogUnavailable(_one_line(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LogUnavailable(_one_line(error)) from error
        raise


def _one_line(error: DBAPIError) -> str:
    text = str(error.orig).strip()
    return text.splitlines()[0] if text else type(error.orig).__name__
