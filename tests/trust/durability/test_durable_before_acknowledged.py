"""Before an append is acknowledged the disk has been told to keep it.

`kill -9` cannot show that: what a dead process wrote is safe in the system's cache. So the system calls
are watched, and what the databases say about themselves.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from tests.builders import plain_run
from tests.raw import RawDatabase
from tests.store.batches import ActingBatch

APPENDS = 20
ROOT = Path(__file__).parents[3]
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= \d+")


def on_the_append_connection(database: Database, statement: str) -> Any:
    """What the connection that appends answers, asked between an insert and its commit."""
    connection = database._appending._connection
    assert connection is not None
    cursor = connection.cursor()
    cursor.execute(statement)
    row = cursor.fetchone()
    cursor.close()
    return row[0] if row else None


def answers_while_appending(database: Database, *statements: str) -> list[Any]:
    answers: list[Any] = []

    def ask() -> None:
        answers.extend(on_the_append_connection(database, each) for each in statements)

    SqlLog(database).append(ActingBatch(plain_run("asking", 1), ask))
    return answers


def test_the_connection_that_appends_to_sqlite_syncs_every_commit(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    settings = answers_while_appending(database, "PRAGMA synchronous", "PRAGMA journal_mode")
    assert settings == [2, "wal"]
    database.close()


def test_the_connection_that_appends_to_postgres_syncs_every_commit(postgres_url: str) -> None:
    database = connect(postgres_url)
    settings = answers_while_appending(database, "SHOW synchronous_commit", "SHOW fsync")
    assert settings == ["on", "on"]
    database.close()


def test_postgres_has_flushed_its_log_beyond_each_append_once_that_is_acknowledged(
    own_postgres_url: str,
) -> None:
    database, raw = connect(own_postgres_url), RawDatabase(own_postgres_url)
    log = SqlLog(database)
    written: list[str] = []

    def note() -> None:
        written.append(on_the_append_connection(database, "SELECT pg_current_wal_insert_lsn()"))

    for event in plain_run("a", APPENDS):
        log.append(ActingBatch([event], note))
        # The commit is a record after those noted.
        [(flushed,)] = raw.execute(f"SELECT pg_current_wal_flush_lsn() > '{written[-1]}'")
        assert flushed
    assert len(written) == APPENDS
    raw.close()
    database.close()


def test_postgres_counts_a_sync_between_each_append_and_its_acknowledgement(
    own_postgres_url: str,
) -> None:
    database, raw = connect(own_postgres_url), RawDatabase(own_postgres_url)
    [(version,)] = raw.execute("SELECT current_setting('server_version_num')::int")
    if version >= 180_000:
        count = "SELECT sum(fsyncs)::int FROM pg_stat_io WHERE object = 'wal'"
    elif version >= 140_000:
        count = "SELECT wal_sync::int FROM pg_stat_wal"
    else:
        pytest.skip("PostgreSQL counts its syncs from version 14 on")
    log = SqlLog(database)

    def report() -> None:  # at the end of the transaction, else once a second
        on_the_append_connection(database, "SELECT pg_stat_force_next_flush()")

    [(before,)] = raw.execute(count)
    for event in plain_run("a", APPENDS):
        log.append(ActingBatch([event], report))
        [(after,)] = raw.execute(count)
        assert after > before
        before = after
    raw.close()
    database.close()


def system_calls(url: str, folder: Path) -> list[tuple[str, str]]:
    """What the acknowledging process asks of the system: the calls' names and arguments, in order."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: no look at the system calls")
    trace = folder / "trace"
    calls = "trace=write,fsync,fdatasync,rename,renameat,renameat2"
    watching = [strace, "-f", "-y", "-s", "64", "-e", calls, "-o", str(trace)]
    process = [sys.executable, "-m", "tests.trust.durability.acknowledging_process"]
    done = subprocess.run(
        [*watching, *process, url, str(folder / "spool"), str(APPENDS)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode != 0 and "ptrace" in done.stderr.lower():
        pytest.skip(f"strace may not look: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return [(match["name"], match["arguments"]) for match in _CALL.finditer(_whole_lines(trace))]


def _whole_lines(trace: Path) -> str:
    """The trace with calls joined that another thread's call has torn in two."""
    begun: dict[str, str] = {}
    lines = []
    for line in trace.read_text().splitlines():
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
        elif text.startswith("<..."):
            lines.append(begun.pop(thread) + text.partition("resumed>")[2])
        else:
            lines.append(text)
    return "\n".join(lines)


def between(calls: list[tuple[str, str]], said: str) -> list[list[tuple[str, str]]]:
    """The calls before each line a process said, since the one before."""
    stretches, stretch = [], []
    for name, arguments in calls:
        stretch.append((name, arguments))
        if name == "write" and arguments.startswith("1<") and f'"{said}' in arguments:
            stretches.append(stretch[:-1])
            stretch = []
    return stretches


def synced(stretch: list[tuple[str, str]]) -> list[str]:
    """Which files were synced, the last part of their names."""
    return [
        Path(arguments.partition("<")[2].rpartition(">")[0]).name
        for name, arguments in stretch
        if name in ("fsync", "fdatasync")
    ]


def test_the_system_is_seen_to_sync_before_each_acknowledgement(
    sqlite_url: str, tmp_path: Path
) -> None:
    calls = system_calls(sqlite_url, tmp_path)
    appends = between(calls, "acknowledged")
    assert len(appends) == APPENDS
    assert [stretch for stretch in appends if "log.db-wal" not in synced(stretch)] == []
    # A new file is only safe once its folder knows of it.
    assert tmp_path.name in synced(appends[0])
    spooled = between(calls, "spooled")
    assert len(spooled) == APPENDS
    for number, stretch in enumerate(spooled):
        names = [name for name, _ in stretch]
        file, folder = synced(stretch)[-2:]
        assert file.endswith(f"-{number:012d}.part")
        assert folder == "spool"
        assert names[-3:] == ["fsync", "rename", "fsync"]
