"""Full disks: the caller's stream goes on, what is lost is counted, recovery needs no restart."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from recorder import backlog
from recorder.audit import verify
from recorder.events import Gap
from recorder.projector import Projector
from recorder.recording import Recording, record_items
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog, run_events
from recorder.store.views import Views
from tests.builders import frame, opened
from tests.clocks import ManualClock
from tests.logs import WAIT_S
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, files

CHUNKS = [frame({"type": "submit", "node_id": str(n), "x": f"{n}" * 32_000}) for n in range(40)]


class SmallDisk:
    """A SQLite database that may not grow beyond so many pages, as long as that is said."""

    def __init__(self, url: str) -> None:
        self.pages: int | None = None
        self.database = connect(url)
        event.listen(self.database.engine, "connect", self._limit)

    def _limit(self, connection: Any, _: object) -> None:
        if self.pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self.pages}").close()


@pytest.fixture
def disk(sqlite_url: str) -> Iterator[SmallDisk]:
    disk = SmallDisk(sqlite_url)
    disk.pages = 100
    yield disk
    disk.database.close()


def recording(writer: SteppedWriter, name: str = "run-1") -> Recording:
    started = Recording(writer, clock=ManualClock())
    started.open(opened(name))
    return started


def gaps(log: SqlLog, request_id: str) -> list[Gap]:
    return [row.event for row in run_events(log, request_id) if isinstance(row.event, Gap)]


def anomalies(database: Database, log: SqlLog, request_id: str) -> dict[str, int]:
    Projector(database, log).catch_up()
    run = Views(database).run(request_id)
    assert run is not None
    return dict(run.anomalies)


def test_a_full_database_fills_the_spool_and_nothing_is_lost(
    disk: SmallDisk, tmp_path: Path
) -> None:
    log = SqlLog(disk.database)
    writer = SteppedWriter(log, FlakySpool(tmp_path / "spool"))
    mine = recording(writer)
    assert list(record_items(CHUNKS, mine)) == CHUNKS
    writer.wait_for_pause()
    assert str(writer._away) == "database or disk is full"
    disk.pages = None
    writer.free()
    mine.wait(WAIT_S)
    assert [row.frame for row in run_events(log, "run-1")][1:-1] == CHUNKS
    assert (gaps(log, "run-1"), files(tmp_path / "spool")) == ([], [])
    assert (verify(log).intact, mine.fault) == (True, None)
    assert writer.close()


def test_a_full_spool_matters_to_nobody_while_the_log_is_there(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = connect(sqlite_url)
    log = SqlLog(database)
    spool = FlakySpool(tmp_path / "spool")
    spool.full = True
    writer = SteppedWriter(log, spool)
    mine = recording(writer)
    assert list(record_items(CHUNKS, mine)) == CHUNKS
    mine.wait(WAIT_S)
    assert [row.frame for row in run_events(log, "run-1")][1:-1] == CHUNKS
    assert writer.close()
    database.close()


def test_with_both_full_memory_takes_what_it_may_and_a_gap_counts_the_rest(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_HELD_BYTES", 500_000)
    log = SqlLog(disk.database)
    spool = FlakySpool(tmp_path / "spool")
    spool.full = True
    writer = SteppedWriter(log, spool)
    mine = recording(writer)
    seen = []
    for number, chunk in enumerate(record_items(CHUNKS, mine)):
        seen.append(chunk)
        if number % 10 == 9:
            writer.wait_for_pause()
            writer.go_on()
    assert seen == CHUNKS
    disk.pages = None
    writer.free()
    mine.wait(WAIT_S)
    kept = [row.frame for row in run_events(log, "run-1") if row.type == "submit"]
    lost = [chunk for chunk in CHUNKS if chunk not in kept]
    told = gaps(log, "run-1")
    assert 0 < len(lost) < len(CHUNKS)
    assert {gap.reason for gap in told} == {"no room in memory, spool or log"}
    assert sum(gap.lost_events for gap in told) == len(lost)
    assert sum(gap.lost_bytes for gap in told) == sum(map(len, lost))
    assert anomalies(disk.database, log, "run-1") == {"gap": len(lost)}
    next_one = recording(writer, "run-2")
    assert list(record_items(CHUNKS, next_one)) == CHUNKS
    next_one.wait(WAIT_S)
    assert anomalies(disk.database, log, "run-2") == {}
    assert (verify(log).intact, mine.fault) == (True, None)
    assert writer.close()


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory, of its own size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only; the other tests go without")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_really_is_full_for_log_and_spool(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_HELD_BYTES", 300_000)
    with small_file_system(tmp_path / "disk", "4m") as folder:
        shutil.copy(sqlite_template, folder / "log.db")
        database = connect(f"sqlite:///{folder / 'log.db'}")
        log = SqlLog(database)
        assert log.head().position == 0
        ballast = folder / "ballast"
        room = shutil.disk_usage(folder).free - 400_000
        ballast.write_bytes(bytes(room))
        writer = SteppedWriter(log, FlakySpool(folder / "spool"))
        mine = recording(writer)
        seen = []
        for chunk in record_items(CHUNKS, mine):
            seen.append(chunk)
            if writer.pauses:
                writer.go_on()
        assert seen == CHUNKS
        writer.wait_for_pause()
        assert str(writer._away) in ("database or disk is full", "disk I/O error")
        ballast.unlink()
        writer.free()
        mine.wait(WAIT_S)
        kept = [row.frame for row in run_events(log, "run-1") if row.type == "submit"]
        lost = len(CHUNKS) - len(kept)
        assert sum(gap.lost_events for gap in gaps(log, "run-1")) == lost > 0
        assert anomalies(database, log, "run-1") == {"gap": lost}
        assert (verify(log).intact, mine.fault) == (True, None)
        assert writer.close()
        assert files(folder / "spool") == []
        database.close()
