"""The schema: one truth in two places, walked up and down, and databases that are not ours."""

from __future__ import annotations

import ast
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import CommandLine
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect

import recorder
from recorder.errors import SchemaError
from recorder.store import schema
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from recorder.store.tables import metadata
from tests.builders import one_step_run
from tests.logs import WAIT_S
from tests.raw import RawDatabase

ROOT = Path(__file__).parents[1]
OURS = {"recorder", "migrations", "analytics", "api", "cli", "emulator", "tests"}
VERSION_FILES = sorted((ROOT / "migrations" / "versions").glob("*.py"))
GUARDS = {
    True: "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    False: (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION SELECT proname FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    ),
}
HEAD = ScriptDirectory.from_config(schema.alembic_config()).get_current_head()


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    """An open database without a table."""
    database = connect(empty_database_url)
    yield database
    database.close()


def described(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every table as the database itself describes it, but Alembic's own."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table),
            "unique": inspector.get_unique_constraints(table),
            "checks": inspector.get_check_constraints(table),
            "indexes": sorted(
                (
                    str(index["name"]),
                    index["column_names"],
                    index["unique"],
                    {name: str(option) for name, option in index["dialect_options"].items()},
                )
                for index in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def schema_of(database: Database) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The tables, and the names of triggers and functions."""
    with database.reading() as connection:
        guards = connection.exec_driver_sql(GUARDS[database.is_sqlite]).scalars().all()
        return described(connection), list(guards)


def revision_of(database: Database) -> str | None:
    with database.reading() as connection:
        return MigrationContext.configure(connection).get_current_revision()


# One schema


def test_alembic_finds_nothing_to_change(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_migrations_make_what_the_metadata_says_names_included(empty: Database) -> None:
    with empty.writing() as connection:
        metadata.create_all(connection)
        by_metadata = described(connection)
        metadata.drop_all(connection)
    schema.prepare(empty, migrate=False)
    with empty.reading() as connection:
        assert described(connection) == by_metadata


def test_the_schema_is_walked_down_to_nothing_and_up_again(empty: Database) -> None:
    schema.prepare(empty, migrate=False)
    before = schema_of(empty)
    assert before[1] != []
    for _ in range(2):
        with empty.writing() as connection:
            schema.downgrade(connection, "base")
        assert schema_of(empty) == ({}, [])
        assert revision_of(empty) is None
        with empty.writing() as connection:
            schema.upgrade(connection)
        assert schema_of(empty) == before
        assert revision_of(empty) == HEAD
    SqlLog(empty).append(one_step_run("a"))
    assert SqlLog(empty).head().position == 5


def test_every_step_of_the_way_down_can_be_walked_up_again(empty: Database) -> None:
    schema.prepare(empty, migrate=False)
    script = ScriptDirectory.from_config(schema.alembic_config())
    for each in script.walk_revisions():
        before = schema_of(empty)
        with empty.writing() as connection:
            schema.downgrade(connection, str(each.down_revision or "base"))
        with empty.writing() as connection:
            schema.upgrade(connection, revision=each.revision)
        assert schema_of(empty) == before
        with empty.writing() as connection:
            schema.downgrade(connection, str(each.down_revision or "base"))


def imported(path: Path) -> set[str]:
    """The modules a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", VERSION_FILES, ids=lambda path: path.stem)
def test_version_files_import_nothing_of_ours(path: Path) -> None:
    names = imported(path)
    assert "alembic" in names
    assert not {name for name in names if name.startswith(".") or name.split(".")[0] in OURS}


def test_the_way_into_the_database_sees_the_tables_only() -> None:
    names = imported(ROOT / "migrations" / "env.py")
    assert {name for name in names if name.split(".")[0] in OURS} == {"recorder.store.tables"}


# Opening databases


def test_an_empty_database_is_set_up_by_opening_it(empty_database_url: str) -> None:
    with recorder.open(empty_database_url) as rec:
        rec.writer.submit(one_step_run("a")).result(WAIT_S)
        assert revision_of(rec.database) == HEAD
        assert rec.run("a").status == "completed"
    with recorder.open(empty_database_url) as rec:
        assert rec.run("a").events == 5


def test_tables_of_others_beside_ours_do_no_harm(empty: Database) -> None:
    with empty.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (name TEXT)")
    schema.prepare(empty, migrate=False)
    assert "customers" in schema_of(empty)[0]
    assert revision_of(empty) == HEAD


def test_tables_of_others_by_our_names_are_refused_and_left_alone(empty: Database) -> None:
    with empty.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE runs (distance_km TEXT)")
        connection.exec_driver_sql("CREATE TABLE events (title TEXT)")
    before = schema_of(empty)
    for migrate in (False, True):
        with pytest.raises(SchemaError) as caught:
            schema.prepare(empty, migrate=migrate)
        assert str(caught.value) == (
            "the database has tables that are not the recorder's (events, runs); "
            "name another database"
        )
    assert schema_of(empty) == before


@pytest.mark.parametrize("migrate", [False, True])
def test_a_newer_database_is_refused(database: Database, raw: RawDatabase, migrate: bool) -> None:
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError) as caught:
        schema.prepare(database, migrate=migrate)
    assert str(caught.value) == (
        "the database is at revision 9999, newer than this recorder knows; upgrade the recorder"
    )
    raw.execute("UPDATE alembic_version SET version_num = ?", HEAD)


@pytest.mark.parametrize("migrate", [False, True])
def test_a_refused_database_is_told_by_opening_it_too(
    database_url: str, raw: RawDatabase, migrate: bool
) -> None:
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError):
        recorder.open(database_url, migrate=migrate)
    raw.execute("UPDATE alembic_version SET version_num = ?", HEAD)


# An older database: for the time of a test there is one more revision


SUCCESSOR = f'''
from alembic import op
import sqlalchemy as sa

revision = "next"
down_revision = "{HEAD}"


def upgrade():
    op.create_table("added", sa.Column("x", sa.Integer))
    """AND THEN"""


def downgrade():
    op.drop_table("added")
'''


@pytest.fixture
def successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of one more revision, in a copy of `migrations` that is found before ours."""
    folder = tmp_path / "later" / "migrations"
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "versions" / "next.py"
    path.write_text(SUCCESSOR)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "migrations", raising=False)
    return path


def test_an_older_database_is_refused_unless_it_may_be_migrated(
    empty: Database, successor: Path
) -> None:
    with empty.writing() as connection:
        schema.upgrade(connection, revision=str(HEAD))
    log = SqlLog(empty)
    log.append(one_step_run("a"))
    head = log.head()
    with pytest.raises(SchemaError) as caught:
        schema.prepare(empty, migrate=False)
    assert str(caught.value) == (
        f"the database is at revision {HEAD}, this recorder needs next; "
        "run `recorder migrate`, or pass --migrate"
    )
    assert revision_of(empty) == HEAD
    schema.prepare(empty, migrate=True)
    assert revision_of(empty) == "next"
    assert log.head() == head
    schema.prepare(empty, migrate=False)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    empty: Database, successor: Path
) -> None:
    with empty.writing() as connection:
        schema.upgrade(connection, revision=str(HEAD))
    before = schema_of(empty)
    successor.write_text(SUCCESSOR.replace('"""AND THEN"""', 'raise InterruptedError("half-way")'))
    with pytest.raises(InterruptedError, match=r"^half-way$"):
        schema.prepare(empty, migrate=True)
    assert schema_of(empty) == before
    assert revision_of(empty) == HEAD
    successor.write_text(SUCCESSOR)
    schema.prepare(empty, migrate=True)
    assert revision_of(empty) == "next"


# Several at once


def test_threads_that_open_an_empty_database_at_once_all_succeed(empty_database_url: str) -> None:
    openers = 6
    together = threading.Barrier(openers)

    def open_it(number: int) -> None:
        database = connect(empty_database_url)
        together.wait(WAIT_S)
        schema.prepare(database, migrate=False)
        SqlLog(database).append(one_step_run(f"run-{number}"))
        database.close()

    with ThreadPoolExecutor(openers) as pool:
        list(pool.map(open_it, range(openers)))
    with recorder.open(empty_database_url) as rec:
        assert rec.verify().position == 5 * openers


def test_processes_that_open_an_empty_database_at_once_all_succeed(
    empty_database_url: str,
) -> None:
    code = (
        "import sys, recorder; recorder.open; print('ready', flush=True); sys.stdin.readline(); "
        "recorder.open(sys.argv[1]).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_database_url], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        endings = [(process.communicate(timeout=WAIT_S)[1], process.returncode)
                   for process in processes]  # fmt: skip
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert endings == [(b"", 0)] * 2


def test_a_sqlite_file_being_set_up_by_another_is_waited_for(empty_sqlite_url: str) -> None:
    """SQLite refuses the switch to WAL at once while somebody writes in the older mode."""
    raw = RawDatabase(empty_sqlite_url)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("CREATE TABLE theirs (x)")
    database = connect(empty_sqlite_url)
    waits = threading.Event()

    def on_statement(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            waits.set()

    def trace(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(on_statement)

    event.listen(database.engine, "connect", trace, insert=True)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(schema.prepare, database, migrate=False)
        opening.add_done_callback(lambda _: waits.set())
        assert waits.wait(WAIT_S)
        raw.execute("COMMIT")
        opening.result(WAIT_S)
    assert revision_of(database) == HEAD
    database.close()
    raw.close()


# The command line of Alembic


def alembic(*arguments: str) -> None:
    CommandLine(prog="alembic").main(list(arguments))


def test_alembic_works_from_the_command_line(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    url = f"url={empty_database_url}"
    alembic("-x", url, "upgrade", "head")
    alembic("-x", url, "check")
    with recorder.open(empty_database_url) as rec:
        assert rec.verify().intact
    monkeypatch.setenv("RECORDER_DATABASE_URL", empty_database_url)
    alembic("downgrade", "base")
    with pytest.raises(SystemExit):
        alembic("check")  # all of it is missing
    database = connect(empty_database_url)
    assert schema_of(database) == ({}, [])
    database.close()


def test_alembic_asks_for_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("RECORDER_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as caught:
        alembic("upgrade", "head")
    assert str(caught.value) == "name the database with -x url=… or RECORDER_DATABASE_URL"
