"""What is recorded, opened for questions: where the segments are, and one DuckDB for all who ask."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import duckdb
from sqlalchemy import Connection

from analytics import engine, relations
from analytics.event_stream import add_events
from analytics.relations import Kind, Parts, make_view
from analytics.remainder import Tail, of_run, of_steps
from analytics.segments import catalog
from analytics.segments.catalog import Columns, Listed, Segment
from analytics.segments.exporter import POLITE_S, Exporter
from analytics.segments.folder import Folder, LocalFolder, folder_at
from analytics.segments.reading import Plan, plan
from analytics.selection import Selection
from analytics.turns import Turns
from recorder.bootstrap import Recorder
from recorder.store.engine import Database

_TRIES: Final = 3


class Relations(NamedTuple):
    """A connection that has the relations.

    Attributes:
        from_files: Whether some of the rows are read from segments.
    """

    connection: duckdb.DuckDBPyConnection
    as_of_position: int
    from_files: bool


class Archive:
    """A database with its segments, to take snapshots of. Safe to use from several threads.

    Args:
        database: What is recorded.
        folder: Where its segments are; None where there are none, all rows come from SQL then.
        with_events: Whether events go into segments as well.

    Attributes:
        turns: Whose turn it is to use its memory.
    """

    def __init__(
        self, database: Database, folder: Folder | None = None, *, with_events: bool = False
    ) -> None:
        self.database = database
        self.folder = folder
        self._with_events = with_events
        self._scratch: Path | None = None
        self.turns = Turns()
        self._opening = threading.Lock()
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._on_damage: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees memory and scratch files; snapshots that are open become useless. Idempotent."""
        with self._opening:
            if self._instance is not None:
                self._instance.close()
                self._instance = None
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None
        if self.folder is not None:
            self.folder.close()

    def exporters(self, *, take_over: bool = False) -> list[Exporter]:
        """Exporters of what is to be in segments; none where there are no segments.

        Args:
            take_over: Whether to go ahead though another process seems to be exporting.
        """
        if self.folder is None:
            return []
        polite_s = 0.0 if take_over else POLITE_S
        return [
            Exporter(self.database, self.folder, columns, polite_s=polite_s)
            for columns in self._columns()
        ]

    def _columns(self) -> list[Columns]:
        """Once events are in segments they are kept up there: what is erased has to vanish."""
        with self.database.reading() as connection:
            began = catalog.read_exported(connection, catalog.EVENTS).position > 0
        events = [catalog.EVENTS] if self._with_events or began else []
        return [catalog.RUNS_AND_STEPS, *events]

    def on_damage(self, tell: Callable[[], object]) -> None:
        """Has somebody told whenever a file turns out to be missing or unreadable."""
        self._on_damage.append(tell)

    @contextmanager
    def opened(
        self, selection: Selection, *, with_events: bool = False, from_files: bool = True
    ) -> Iterator[Relations]:
        """The relations of what is recorded by now and selected; see `analytics.asking.snapshot`.

        Args:
            selection: What to narrow them to.
            with_events: Whether `events` is among them.
            from_files: Whether segments may be read.

        Raises:
            LogUnavailable: The database does not answer.
        """
        connection, parent = self._cursor()
        scratch = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield self._relations(connection, scratch, selection, with_events, from_files)
        finally:
            connection.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def _relations(
        self,
        connection: duckdb.DuckDBPyConnection,
        scratch: Path,
        selection: Selection,
        with_events: bool,
        from_files: bool,
    ) -> Relations:
        for left in reversed(range(_TRIES)):
            folder = self.folder if from_files and left else None
            try:
                return self._try(connection, scratch, folder, selection, with_events)
            except (OSError, duckdb.Error):
                # A file went or broke after it was looked at: look again, and in the end do without.
                if folder is None:
                    raise
                self.tell_damage()
        raise AssertionError("the last try returns or raises")

    def _try(
        self,
        connection: duckdb.DuckDBPyConnection,
        scratch: Path,
        folder: Folder | None,
        selection: Selection,
        with_events: bool,
    ) -> Relations:
        tail = Tail(scratch)
        with self.database.reading() as reading:
            listed = catalog.read_listed(reading, catalog.RUNS_AND_STEPS)
            events = catalog.read_listed(reading, catalog.EVENTS) if with_events else None
            planned = _plan(listed, folder, selection)
            tail.read(reading, planned.tail)
        if planned.damaged:
            self.tell_damage()
        files = tail.close()
        tables = _tables(connection, tail, files)
        _make_views(connection, planned, folder, tables, selection)
        if events is not None:
            add_events(connection, self.database, folder, events, selection)
        return Relations(connection, listed.projected.position, bool(planned.segments))

    def plan(self, connection: Connection, selection: Selection) -> tuple[Plan, int]:
        """Where the selected runs and steps come from, as of a transaction, and its position."""
        listed = catalog.read_listed(connection, catalog.RUNS_AND_STEPS)
        planned = _plan(listed, self.folder, selection)
        if planned.damaged:
            self.tell_damage()
        return planned, listed.projected.position

    def files_of(self, segments: list[Segment], kind: str) -> list[str]:
        """The segments of a relation, as files on this machine."""
        if self.folder is None:
            return []
        return [str(self.folder.local(each.name)) for each in segments if each.kind == kind]

    def tell_damage(self) -> None:
        """Tells whoever wanted to know."""
        for tell in self._on_damage:
            tell()

    def _cursor(self) -> tuple[duckdb.DuckDBPyConnection, Path]:
        """A connection of its own, and a folder for scratch files."""
        with self._opening:
            if self._scratch is None:
                self._scratch = Path(tempfile.mkdtemp(prefix="recorder-analytics-"))
            if self._instance is None:
                readable = [] if self.folder is None else [self.folder.readable]
                self._instance = engine.connect(self._scratch, readable)
            return self._instance.cursor(), self._scratch


def _plan(listed: Listed, folder: Folder | None, selection: Selection) -> Plan:
    if folder is None:
        listed = catalog.without_segments(listed)
        folder = LocalFolder(Path())
    return plan(
        listed,
        folder,
        since_us=selection.since,
        until_us=selection.until,
        narrow=of_run(selection),
        of_steps=of_steps(selection),
    )


def _tables(
    connection: duckdb.DuckDBPyConnection, tail: Tail, spilled: list[Path]
) -> dict[Kind, list[str]]:
    """What came from SQL, as tables of the connection."""
    connection.register("tail_runs", tail.table("runs"))
    connection.register("tail_steps", tail.table("steps"))
    tables: dict[Kind, list[str]] = {"runs": ["tail_runs"], "steps": ["tail_steps"]}
    kinds: tuple[Kind, ...] = ("runs", "steps")
    for kind, path in zip(kinds, spilled, strict=False):
        tables[kind].append(relations.scan([path]))
    return tables


def _make_views(
    connection: duckdb.DuckDBPyConnection,
    planned: Plan,
    folder: Folder | None,
    tables: dict[Kind, list[str]],
    selection: Selection,
) -> None:
    def parts(kind: Kind) -> Parts:
        segments = [each for each in planned.segments if each.kind == kind]
        return Parts(_paths(folder, segments), planned.not_counting, tables[kind])

    make_view(connection, "steps", parts("steps"), relations.of_steps(selection))
    make_view(connection, "runs", parts("runs"), relations.of_runs(selection, "steps"))


def _paths(folder: Folder | None, segments: list[Segment]) -> list[Path]:
    return [] if folder is None else [folder.local(each.name) for each in segments]


def open_archive(rec: Recorder, *, with_events: bool = False) -> Archive:
    """A recorder's database with the segments its settings name.

    Args:
        rec: What is recorded.
        with_events: Whether events go into segments though the settings do not say so.

    Raises:
        LogError: `RECORDER_SEGMENTS` names no place to keep files.
    """
    where = rec.settings.segments_folder(str(rec.database.engine.url))
    folder = None if where is None else folder_at(where)
    return Archive(rec.database, folder, with_events=with_events or rec.settings.segment_events)
