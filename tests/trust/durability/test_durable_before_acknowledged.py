"""Before an append is acknowledged the disk has been told to keep it.

`kill -9` cannot show that: what a dead process wrote is safe in the system's cache. So the system calls
are watched, and what the databases say about themselves.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.interfaces import DBAPICursor

from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from tests.builders import plain_run
from tests.raw import RawDatabase

APPENDS = 20
ROOT = Path(__file__).parents[3]
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= \d+")


class AskedDatabase(Database):
    """Asks the connection that appends, after what each append writes and before its commit."""

    def __init__(self, url: str, *statements: str) -> None:
        super().__init__(connect(url).engine)
        self._statements = statements
        self.answers: list[Any] = []

    @contextmanager
    def appending(self) -> Iterator[DBAPICursor]:
        with super().appending() as cursor:
            yield cursor
            for statement in self._statements:
                cursor.execute(statement)
                [answer] = cursor.fetchall()
                self.answers += answer


def test_the_connection_that_appends_to_sqlite_syncs_every_commit(sqlite_url: str) -> None:
    database = AskedDatabase(sqlite_url, "PRAGMA synchronous", "PRAGMA journal_mode")
    SqlLog(database).append(plain_run("asking", 1))
    assert database.answers == [2, "wal"]
    database.close()


def test_the_connection_that_appends_to_postgres_syncs_every_commit(postgres_url: str) -> None:
    database = AskedDatabase(postgres_url, "SHOW synchronous_commit", "SHOW fsync")
    SqlLog(database).append(plain_run("asking", 1))
    assert database.answers == ["on", "on"]
    database.close()


def test_postgres_has_flushed_its_log_beyond_each_append_once_that_is_acknowledged(
    own_postgres_url: str,
) -> None:
    database = AskedDatabase(own_postgres_url, "SELECT pg_current_wal_insert_lsn()")
    log, raw = SqlLog(database), RawDatabase(own_postgres_url)
    for event in plain_run("a", APPENDS):
        log.append([event])
        # The commit is a record after those the answer tells of.
        [(flushed,)] = raw.execute(f"SELECT pg_current_wal_flush_lsn() > '{database.answers[-1]}'")
        assert flushed
    assert len(database.answers) == APPENDS
    raw.close()
    database.close()


def test_postgres_counts_a_sync_between_each_append_and_its_acknowledgement(
    own_postgres_url: str,
) -> None:
    # Counts are told at the end of the transaction, else once a second.
    database = AskedDatabase(own_postgres_url, "SELECT pg_stat_force_next_flush()")
    raw = RawDatabase(own_postgres_url)
    [(version,)] = raw.execute("SELECT current_setting('server_version_num')::int")
    if version >= 180_000:
        count = "SELECT sum(fsyncs)::int FROM pg_stat_io WHERE object = 'wal'"
    elif version >= 140_000:
        count = "SELECT wal_sync::int FROM pg_stat_wal"
    else:
        pytest.skip("PostgreSQL counts its syncs from version 14 on")
    log = SqlLog(database)
    [(before,)] = raw.execute(count)
    for event in plain_run("a", APPENDS):
        log.append([event])
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
