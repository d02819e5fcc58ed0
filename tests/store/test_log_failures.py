"""Appends that fail leave nothing behind, and the same batch can be sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from recorder.audit import verify
from recorder.errors import LogError, LogUnavailable
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from tests.builders import as_new, plain_run
from tests.raw import RawDatabase
from tests.store.batches import ActingBatch

END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("size", [1, 30])
def test_a_connection_lost_before_the_insert_leaves_nothing_behind(
    postgres_url: str, size: int
) -> None:
    database, raw = connect(postgres_url), RawDatabase(postgres_url)
    log = SqlLog(database)
    before, lost = plain_run("before", 1), plain_run("lost", size)
    log.append(before)
    head = log.head()
    with pytest.raises(LogUnavailable, match=r"terminating connection|closed"):
        log.append(ActingBatch(lost, lambda: raw.execute(END_OTHERS)))
    assert log.head() == head
    assert as_new(log.read()) == before
    log.append(lost)
    assert as_new(log.read()) == [*before, *lost]
    assert verify(log).intact
    raw.close()
    database.close()


def test_a_connection_lost_during_the_commit_leaves_nothing_behind(own_postgres_url: str) -> None:
    database, raw = connect(own_postgres_url), RawDatabase(own_postgres_url)
    log = SqlLog(database)
    lost = plain_run("lost", 30)
    raw.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    raw.execute(
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION die()"
    )
    with pytest.raises(LogUnavailable, match=r"terminating connection"):
        log.append(lost)
    raw.execute("DROP TRIGGER die ON events")
    assert log.head().position == 0
    log.append(lost)
    assert as_new(log.read()) == lost
    assert verify(log).intact
    raw.close()
    database.close()


def test_a_server_that_ended_our_connections_is_used_again(postgres_url: str) -> None:
    database, raw = connect(postgres_url), RawDatabase(postgres_url)
    log = SqlLog(database)
    first, second = plain_run("a", 2)
    log.append([first])
    raw.execute(END_OTHERS)
    assert as_new(log.read()) == [first]
    with pytest.raises(LogUnavailable):
        log.append([second])
    log.append([second])
    assert as_new(log.read()) == [first, second]
    raw.close()
    database.close()


@pytest.mark.parametrize(
    ("breaks", "mends", "message"),
    [
        (
            "ALTER DATABASE {name} SET default_transaction_read_only = on",
            "ALTER DATABASE {name} RESET default_transaction_read_only",
            r"in a read-only transaction$",
        ),
        (
            "ALTER TABLE events RENAME TO moved",
            "ALTER TABLE moved RENAME TO events",
            r'^relation "events" does not exist$',
        ),
    ],
    ids=["read-only", "a table is not there"],
)
def test_a_server_that_takes_no_writes_for_a_while_is_unavailable(
    own_postgres_url: str, breaks: str, mends: str, message: str
) -> None:
    database, raw = connect(own_postgres_url), RawDatabase(own_postgres_url)
    [(name,)] = raw.execute("SELECT current_database()")
    log = SqlLog(database)
    run = plain_run("a", 30)
    raw.execute(breaks.format(name=name))
    with pytest.raises(LogUnavailable, match=message):
        log.append(run)
    raw.execute("SET default_transaction_read_only = off")
    raw.execute(mends.format(name=name))
    log.append(run)
    assert as_new(log.read()) == run
    assert verify(log).intact
    raw.close()
    database.close()


def test_a_damaged_file_is_unavailable_until_it_is_mended(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    log = SqlLog(database)
    run = plain_run("a", 3)
    log.append(run[:1])
    database.close()
    path = Path(str(database.engine.url.database))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(LogUnavailable, match=r"^database disk image is malformed$"):
        log.append(run)
    path.write_bytes(whole)
    log.append(run)
    assert as_new(log.read()) == run
    database.close()


def with_pragma(url: str, pragma: str) -> Database:
    """A SQLite database whose connections begin with one more pragma."""
    database = connect(url)

    def set_pragma(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA {pragma}").close()

    event.listen(database.engine, "connect", set_pragma)
    return database


def test_a_file_locked_by_another_process_for_too_long_is_unavailable(sqlite_url: str) -> None:
    database, raw = with_pragma(sqlite_url, "busy_timeout = 0"), RawDatabase(sqlite_url)
    log = SqlLog(database)
    run = plain_run("a", 3)
    log.append(run[:1])
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match=r"^database is locked$"):
        log.append(run)
    assert as_new(log.read()) == run[:1]
    raw.execute("ROLLBACK")
    log.append(run)
    assert as_new(log.read()) == run
    assert verify(log).intact
    raw.close()
    database.close()


def test_a_full_disk_leaves_nothing_behind(sqlite_url: str) -> None:
    database = with_pragma(sqlite_url, "max_page_count = 60")
    log = SqlLog(database)
    small, large = plain_run("small", 1), plain_run("large", 2_000)
    log.append(small)
    head = log.head()
    with pytest.raises(LogUnavailable, match=r"^database or disk is full$"):
        log.append(large)
    assert log.head() == head
    assert as_new(log.read()) == small
    database.close()
    roomy = connect(sqlite_url)
    log = SqlLog(roomy)
    log.append(large[:50])
    assert as_new(log.read()) == [*small, *large[:50]]
    assert verify(log).intact
    roomy.close()


def test_what_an_interrupted_append_knew_is_forgotten(log: SqlLog) -> None:
    run = plain_run("a", 3)
    log.append(run[:1])

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.append(ActingBatch(run, interrupt))
    assert as_new(log.read()) == run[:1]
    log.append(run[:2])
    log.append(run[2:])
    assert as_new(log.read()) == run
    assert verify(log).intact


def test_a_log_without_its_head_says_so(log: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("DELETE FROM log_head")
    for call in (log.head, lambda: log.append(plain_run("a", 1))):
        with pytest.raises(LogError, match=r"^the log has no head row; the database is damaged$"):
            call()
