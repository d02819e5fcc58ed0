"""Engines: how we talk to SQLite and PostgreSQL.

Durability is set here. SQLite runs in WAL mode with `synchronous=FULL`, so a commit is on the disk
when it returns; PostgreSQL runs with `synchronous_commit=on`.

Never open the live SQLite file with a second SQLite library or a plain `open()` inside the
writer's process: closing it drops the process's POSIX locks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from recorder.errors import LogError
from recorder.store.append_connection import Appending
from recorder.store.failures import translated

_BUSY_TIMEOUT_S: Final = 30
_SWITCHES_TO_WAL: Final = 10


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
        self._appending = Appending(engine)
        # SQLite has one writer at a time and lets a second one wait by sleeping; within a process
        # a lock hands over at once.
        self._write_gate = self._appending.gate if self.is_sqlite else nullcontext()
        self._closed = False
        event.listen(engine, "checkin", self._close_what_comes_back_late)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; driver errors come as `LogUnavailable`."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**self._read_options)

    def read_row(self, statement: str, values: Sequence[Any] | dict[str, Any]) -> tuple[Any, ...]:
        """The one row of a statement in the driver's own words, for what is asked often.

        Through SQLAlchemy's execution a short statement takes 0.15 ms more. Errors are those of `reading`.
        """
        with translated():
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(statement, values)
                row: tuple[Any, ...]
                [row] = cursor.fetchall()
                cursor.close()
                return row
            except BaseException as error:
                connection.invalidate()
                self._raise_as_sqlalchemy(statement, error)
                raise
            finally:
                connection.close()

    def _raise_as_sqlalchemy(self, statement: str, error: BaseException) -> None:
        driver = self.engine.dialect.loaded_dbapi
        if isinstance(error, driver.Error):
            raise DBAPIError.instance(
                statement, None, error, driver.Error, dialect=self.engine.dialect
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; it commits at the end, or rolls back on an exception."""
        with translated(), self._write_gate, self.engine.connect() as connection:
            writer = connection.execution_options(recorder_writes=True)
            with writer.begin():
                yield writer

    def appending(self) -> AbstractContextManager[DBAPICursor]:
        """A driver's cursor in a write transaction, on a connection kept for appends.

        It commits at the end, or rolls back on an exception. One thread at a time.
        """
        return self._appending

    def close(self, timeout_s: float = 1.0) -> None:
        """Closes all connections; used again, the object opens one for each use.

        The connection of an append that is under way for longer than the timeout is closed when that
        ends; should it hang, with the process.
        """
        self._closed = True
        self._appending.close(timeout_s)
        self.engine.dispose()

    def _close_what_comes_back_late(self, _: object, record: ConnectionPoolEntry) -> None:
        """Closes a connection that another thread still used when the pool was disposed of."""
        if self._closed:
            record.close()


def connect(url: str) -> Database:
    """Makes a database from a SQLAlchemy URL; nothing is opened yet.

    `postgresql://` and `postgres://` mean psycopg 3. The folder of a SQLite file is created.

    Raises:
        LogError: The URL is none, or names another kind of database or a missing driver.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise LogError("the database URL is not a SQLAlchemy URL") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return Database(_sqlite_engine(url))
    if kind in ("postgresql", "postgres"):
        return Database(_postgres_engine(url))
    raise LogError(f"the log lives in SQLite or PostgreSQL, not in {kind}")


def _sqlite_engine(url: str) -> Engine:
    parsed = make_url(url)
    if _in_memory(parsed):
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


def _in_memory(url: URL) -> bool:
    database = url.database or ":memory:"
    return ":memory:" in database or url.query.get("mode") == "memory"


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    _switch_to_wal(connection)
    for pragma in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",  # so that REPLACE meets the triggers that refuse DELETE
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Puts the file in WAL mode, for good.

    While another connection writes to a file that is not in WAL mode yet, as when two processes open
    an empty database, SQLite refuses the switch at once instead of waiting.
    """
    for _ in range(_SWITCHES_TO_WAL):
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError:
            connection.execute("BEGIN IMMEDIATE").close()  # waits for the other
            connection.execute("ROLLBACK").close()
    connection.execute("PRAGMA journal_mode=WAL").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("recorder_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(url: str) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    own_options = parsed.query.get("options", "")
    options = f"{own_options} -c synchronous_commit=on".strip()
    try:
        return create_engine(
            parsed,
            pool_size=10,
            pool_pre_ping=True,
            # Whoever waited for the head row must see what was committed meanwhile, whatever the
            # server's default.
            isolation_level="READ COMMITTED",
            connect_args={"options": options},
        )
    except (ImportError, NoSuchModuleError):
        raise LogError(
            "PostgreSQL needs the driver psycopg: pip install 'fal-flight-recorder[postgres]'"
        ) from None
