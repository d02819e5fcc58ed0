"""Connections: durable on either database, and clear about what cannot be opened."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recorder.errors import LogError, LogUnavailable
from recorder.store import schema
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from tests.builders import plain_run
from tests.postgres import PostgresServer
from tests.raw import RawDatabase
from tests.store.batches import ActingBatch

IN_MEMORY = "the log wants a SQLite file; a database in memory is lost with the process"
NO_URL = "the database URL is not a SQLAlchemy URL"


def settings_of(database: Database, *names: str) -> list[list[object]]:
    """What settings say in a transaction that reads, one that writes, and one that appends."""
    word = "PRAGMA" if database.is_sqlite else "SHOW"
    statements = [f"{word} {name}" for name in names]
    with database.reading() as connection:
        reading = [connection.exec_driver_sql(each).scalar() for each in statements]
    with database.writing() as connection:
        writing = [connection.exec_driver_sql(each).scalar() for each in statements]
    appending = []
    with database.appending() as cursor:
        for each in statements:
            cursor.execute(each)
            row = cursor.fetchone()
            appending.append(row[0] if row else None)
    return [reading, writing, appending]


def test_every_sqlite_connection_is_durable(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout")
    assert settings_of(database, *names) == [["wal", 2, 1, 1, 30_000]] * 3
    database.close()


def test_every_postgres_connection_is_durable_whatever_the_server_prefers(
    own_postgres_url: str,
) -> None:
    raw = RawDatabase(own_postgres_url)
    [(name,)] = raw.execute("SELECT current_database()")
    raw.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    raw.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    database = connect(own_postgres_url)
    assert settings_of(database, "synchronous_commit", "transaction_isolation") == [
        ["on", "repeatable read"],
        ["on", "read committed"],
        ["on", "read committed"],
    ]
    database.close()
    raw.close()


def test_options_of_the_url_are_kept_beside_ours(postgres: PostgresServer) -> None:
    given = "options=-c%20work_mem%3D5MB%20-c%20synchronous_commit%3Doff"
    database = connect(f"{postgres.url('postgres')}&{given}")
    assert settings_of(database, "work_mem", "synchronous_commit") == [["5MB", "on"]] * 3
    database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_name_of_postgres_means_psycopg(postgres: PostgresServer, scheme: str) -> None:
    address = postgres.url("postgres").partition(":")[2]
    database = connect(f"{scheme}:{address}")
    assert (database.engine.dialect.driver, database.is_sqlite) == ("psycopg", False)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    database.close()


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/some/where/log.db")
    schema.prepare(database, migrate=False)
    database.close()
    assert (tmp_path / "some" / "where" / "log.db").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", NO_URL),
        ("secret", NO_URL),
        ("postgresql://me:secret@host:port/name", NO_URL),
        ("postgresql://me:secret@[::1/name", NO_URL),
        ("mysql://me:secret@host/name", "the log lives in SQLite or PostgreSQL, not in mysql"),
        ("duckdb:///secret", "the log lives in SQLite or PostgreSQL, not in duckdb"),
        ("sqlite://", IN_MEMORY),
        ("sqlite:///:memory:", IN_MEMORY),
        ("sqlite:///file::memory:?cache=shared&uri=true", IN_MEMORY),
        ("sqlite:///file:secret?mode=memory&uri=true", IN_MEMORY),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_in_one_line(url: str, message: str) -> None:
    with pytest.raises(LogError) as caught:
        connect(url)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        (
            "postgresql://me:secret@/name?host=/nowhere",
            LogUnavailable,
            "connection is bad: connection to server on socket "
            '"/nowhere/.s.PGSQL.5432" failed: No such file or directory',
        ),
        (
            "postgresql://me:secret@/name?host=/nowhere&colour=red",
            LogError,
            'invalid connection option "colour"',
        ),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_in_one_line(
    url: str, kind: type[LogError], message: str
) -> None:
    database = connect(url)
    for call in (lambda: schema.prepare(database, migrate=False), SqlLog(database).head):
        with pytest.raises(LogError) as caught:
            call()
        assert type(caught.value) is kind
        assert str(caught.value) == message
    database.close()


def test_an_append_to_a_server_that_cannot_be_reached_may_be_tried_again() -> None:
    database = connect("postgresql://me:secret@/name?host=/nowhere")
    with pytest.raises(LogUnavailable, match=r"^connection is bad: .*No such file or directory$"):
        SqlLog(database).append(plain_run("a", 1))
    database.close()


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database at all\n" * 100)
    database = connect(f"sqlite:///{path}")
    with pytest.raises(LogError, match=r"^file is not a database$"):
        schema.prepare(database, migrate=False)
    database.close()
    assert path.read_text().startswith("not a database")


def test_a_folder_in_place_of_the_file_is_told_in_one_line(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}")
    with pytest.raises(LogError, match=r"^unable to open database file$"):
        schema.prepare(database, migrate=False)
    database.close()


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError) as caught:
        connect(f"sqlite:///{tmp_path}/file/log.db")
    assert str(caught.value) == f"cannot make the folder of {tmp_path}/file/log.db: File exists"


def test_a_missing_driver_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LogError) as caught:
        connect("postgresql://me:secret@host/name")
    assert str(caught.value) == (
        "PostgreSQL needs the driver psycopg: pip install 'fal-flight-recorder[postgres]'"
    )


def test_an_exception_rolls_a_write_back(database: Database) -> None:
    def write_and_fail() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE projections SET position = 7")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()
    with database.writing() as connection:
        read = connection.exec_driver_sql("SELECT position FROM projections")
        assert read.scalar_one() == 0


def test_a_closed_database_opens_again_when_used(database: Database) -> None:
    log = SqlLog(database)
    run = plain_run("a", 2)
    log.append(run[:1])
    database.close()
    database.close()
    log.append(run[1:])
    assert log.head().position == 2


def test_reading_goes_on_while_an_append_is_under_way(database: Database) -> None:
    log = SqlLog(database)
    seen: list[int] = []
    log.append(ActingBatch(plain_run("a", 1), lambda: seen.append(log.head().position)))
    assert (seen, log.head().position) == ([0], 1)


def test_a_row_read_through_the_driver_is_the_row(database: Database) -> None:
    assert database.read_row("SELECT 1, 'a' WHERE 1 = 1", ()) == (1, "a")


def test_a_read_through_the_driver_fails_as_any_other(database: Database) -> None:
    def any_other() -> None:
        with database.reading() as connection:
            connection.exec_driver_sql("SELECT 1 FROM there_is_none")

    def through_the_driver() -> None:
        database.read_row("SELECT 1 FROM there_is_none", ())

    told = []
    for read in (any_other, through_the_driver):
        with pytest.raises(Exception, match="there_is_none") as failed:
            read()
        told.append(type(failed.value))
    assert told[0] is told[1]
    assert database.read_row("SELECT 1", ()) == (1,)
