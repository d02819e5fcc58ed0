"""Databases, logs and recorders for the tests, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import recorder
from recorder.bootstrap import Recorder
from recorder.settings import Settings
from recorder.store import schema
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from recorder.store.tables import metadata
from tests.postgres import LentDatabases, PostgresMissing, PostgresServer, running_postgres
from tests.raw import RawDatabase


def pytest_configure() -> None:
    """A shell starts what goes on in its background deaf to SIGINT, and so would be all that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_OUR_THREADS = {"log-writer", "projector", "definitions", "columns"}


@pytest.fixture(autouse=True, scope="session")
def spool_in_a_scratch_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves anything in the spool of whoever runs it; child processes inherit this."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RECORDER_SPOOL", str(tmp_path_factory.mktemp("spool")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session."""
    try:
        with running_postgres() as server:
            yield server
    except PostgresMissing as missing:
        if missing.expected or os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database at our schema, to be copied."""
    name = postgres.create()
    _set_up(postgres.url(name))
    yield name
    postgres.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at our schema, to be copied; nobody has it open."""
    path = tmp_path_factory.mktemp("template") / "log.db"
    _set_up(f"sqlite:///{path}")
    return path


def _set_up(url: str) -> None:
    database = connect(url)
    schema.prepare(database, migrate=False)
    database.close()


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite database at our schema, the log empty."""
    path = tmp_path / "log.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def lent_databases(postgres: PostgresServer, postgres_template: str) -> Iterator[LentDatabases]:
    """PostgreSQL databases at our schema, emptied after every test."""
    databases = LentDatabases(postgres, postgres_template, metadata.sorted_tables)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer, lent_databases: LentDatabases) -> Iterator[str]:
    """A PostgreSQL database at our schema, the log empty; rows may be changed, tables not."""
    name = lent_databases.lend()
    yield postgres.url(name)
    lent_databases.give_back(name)


@pytest.fixture
def own_postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A PostgreSQL database at our schema that no other test will use."""
    name = postgres.create(postgres_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without a table."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database at our schema, the log empty, on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without a table, on both kinds."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database with an empty log, on both kinds."""
    opened = connect(database_url)
    schema.prepare(opened, migrate=False)
    yield opened
    opened.close()


@pytest.fixture
def log(database: Database) -> SqlLog:
    """An empty log, on both kinds of database."""
    return SqlLog(database)


@pytest.fixture
def raw(database_url: str, database: Database) -> Iterator[RawDatabase]:
    """A connection to the same database, past the recorder."""
    connection = RawDatabase(database_url)
    yield connection
    connection.close()


@pytest.fixture
def rec(database_url: str) -> Iterator[Recorder]:
    """A recorder with an empty log, on both kinds of database."""
    yield from _recorder(database_url)


@pytest.fixture
def sqlite_rec(sqlite_url: str) -> Iterator[Recorder]:
    """A recorder with an empty log on SQLite, for tests the kind of database cannot matter to."""
    yield from _recorder(sqlite_url)


def _recorder(url: str) -> Iterator[Recorder]:
    before = set(threading.enumerate())
    with recorder.open(url, settings=Settings(database_url=url, fal_key=None)) as opened:
        yield opened
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread not in before and thread.name in _OUR_THREADS
    ]
    assert left == [], "a thread outlived its recorder"
