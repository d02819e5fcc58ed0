"""Logs with segments, and what they say with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.archive import Archive
from analytics.asking import snapshot
from analytics.segments.catalog import EVENTS, RUNS_AND_STEPS, Columns
from analytics.segments.exporter import Exporter
from analytics.segments.folder import LocalFolder
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from recorder.store.engine import Database
from tests.clocks import NOVEMBER_2023_US

DAY_US = 86_400_000_000
RELATIONS = ("runs", "steps", "events")
ORDER = {
    "runs": "request_id",
    "steps": "request_id, node_id, attempt",
    "events": "position",
}


class Segmented:
    """A recorder, its segments, and an exporter whose clock and grace the test sets."""

    def __init__(self, rec: Recorder, root: Path) -> None:
        self.rec = rec
        self.root = root
        self.folder = LocalFolder(root)
        self.archive = Archive(rec.database, self.folder)
        self.now_us = NOVEMBER_2023_US

    def exporter(self, columns: Columns = RUNS_AND_STEPS, **options: Any) -> Exporter:
        known: dict[str, Any] = {"now_us": lambda: self.now_us, "grace_s": 0.0, "polite_s": 0.0}
        return Exporter(self.rec.database, self.folder, columns, **(known | options))

    def append(self, *histories: list[NewEvent]) -> None:
        for events in histories:
            self.rec.log.append(events)
        self.rec.projector.catch_up()

    def export(self, *, events: bool = False) -> None:
        """Brings everything into segments."""
        for columns in (RUNS_AND_STEPS, EVENTS) if events else (RUNS_AND_STEPS,):
            assert self.exporter(columns).catch_up() == "nothing"

    def told(self, selection: Selection | None = None) -> dict[str, list[dict[str, Any]]]:
        return told(self.archive, selection)

    def told_by_sql(self, selection: Selection | None = None) -> dict[str, list[dict[str, Any]]]:
        return told(self.rec.database, selection)

    def files(self) -> set[str]:
        """Every file below the folder, whatever it is called."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}

    def listed_files(self) -> set[str]:
        sets = (self.exporter(columns).listed() for columns in (RUNS_AND_STEPS, EVENTS))
        return {file.name for listed in sets for file in listed.segments}

    def in_files(self, kind: str) -> list[str]:
        """The runs that have rows of a kind in the files, once for each row."""
        import pyarrow.parquet as pq

        names = [name for name in self.listed_files() if name.startswith(f"{kind}/")]
        return sorted(
            request_id
            for name in names
            for request_id in pq.read_table(self.root / name, partitioning=None)
            .column("request_id")
            .to_pylist()
        )


def told(
    source: Database | Archive, selection: Selection | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Every row of every relation."""
    with snapshot(source, selection or Selection(), with_events=True) as opened:
        rows = {
            name: opened._connection.sql(f"SELECT * FROM {name} ORDER BY {ORDER[name]}")
            .to_arrow_table()
            .to_pylist()
            for name in RELATIONS
        }
        return rows | {"as_of_position": [{"is": opened.as_of_position}]}


def moved(events: list[NewEvent], days: float) -> list[NewEvent]:
    """The same run on another day."""
    by_us = int(days * DAY_US)
    return [
        msgspec.structs.replace(event, received_at=event.received_at + by_us) for event in events
    ]


@pytest.fixture
def segmented(rec: Recorder, tmp_path: Path) -> Iterator[Segmented]:
    """An empty log with segments, on both kinds of database."""
    made = Segmented(rec, tmp_path / "segments")
    yield made
    made.archive.close()


@pytest.fixture
def on_sqlite(sqlite_rec: Recorder, tmp_path: Path) -> Iterator[Segmented]:
    """The same on SQLite, for tests the kind of database cannot matter to."""
    made = Segmented(sqlite_rec, tmp_path / "segments")
    yield made
    made.archive.close()
