"""What is recorded, opened for questions: where the segments are, and one DuckDB for all who ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
from sqlalchemy import Connection

from analytics import relations
from analytics.connections import Connections, Views
from analytics.event_stream import add_events
from analytics.fetching import chunks
from analytics.kept import TailKeeper
from analytics.relations import Kind, rows_of_files
from analytics.remainder import Tail, of_run, of_steps
from analytics.segments import catalog
from analytics.segments.catalog import Columns, Listed, Segment
from analytics.segments.exporter import POLITE_S, Exporter
from analytics.segments.folder import Folder, LocalFolder, folder_at
from analytics.segments.reading import Plan, plan
from analytics.selection import Selection
from analytics.turns import Turns
from recorder.bootstrap import Recorder
from recorder.closing import Closing
from recorder.store.engine import Database

_TRIES: Final = 3


class Relations(NamedTuple):
    """A connection that has the relations.

    Attributes:
        connection: As of a state of what is recorded.
        as_of_position: The state's.
        from_files: Whether some of the rows are read from files that are not this answer's own.
    """

    connection: duckdb.DuckDBPyConnection
    as_of_position: int
    from_files: bool


class _Sources(NamedTuple):
    """Where the rows of an answer are.

    Attributes:
        views: The relations `runs` and `steps`.
        tail: Holds the files of what is in no segment.
        shared: Whether others read the same.
        events: What counts of events, where these are asked for.
    """

    listed: Listed
    views: Views
    tail: Tail
    shared: bool
    events: Listed | None


class Archive(Closing):
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
        self.turns = Turns()
        self._connections = Connections([] if folder is None else [folder.readable])
        self._tails = TailKeeper(self._connections.new_folder)
        self._known: tuple[catalog.Mark, Listed] | None = None
        self._on_damage: list[Callable[[], object]] = []

    def close(self) -> None:
        """Frees memory and scratch files; snapshots that are open become useless. Idempotent."""
        self._tails.forget()
        self._connections.close()
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
        folder = self.folder if from_files else None
        connection, sources = self._connect(folder, selection, with_events=with_events)
        reusable = False
        try:
            if sources.events is not None:
                add_events(connection, self.database, folder, sources.events, selection)
            yield Relations(connection, sources.listed.projected.position, sources.shared)
            reusable = sources.shared and sources.events is None
        finally:
            if reusable:
                self._connections.give_back(sources.views, connection)
            else:
                connection.close()

    def _connect(
        self, folder: Folder | None, selection: Selection, *, with_events: bool
    ) -> tuple[duckdb.DuckDBPyConnection, _Sources]:
        for left in reversed(range(_TRIES)):
            try:
                sources = self._sources(folder if left else None, selection, with_events)
                return self._connections.take(sources.views), sources
            except (OSError, duckdb.Error):
                # A file went or broke after it was looked at: look again, and in the end do without.
                if folder is None or not left:
                    raise
                self.tell_damage()
        raise AssertionError("the last try returns or raises")

    def _sources(self, folder: Folder | None, selection: Selection, with_events: bool) -> _Sources:
        with self.database.reading() as reading:
            listed = self._listed(reading)
            events = catalog.read_listed(reading, catalog.EVENTS) if with_events else None
            planned = _plan(listed, folder, selection)
            shared = None
            if folder is not None and not planned.damaged:
                shared = self._tails.read(reading, listed)
            tail = shared or self._own_tail(reading, planned)
        if planned.damaged:
            self.tell_damage()
        from_files = shared is not None or bool(planned.segments)
        views = _views(planned, folder, tail, selection)
        return _Sources(listed, views, tail, from_files, events)

    def _listed(self, connection: Connection) -> Listed:
        """What counts now, read anew if anything has moved."""
        mark = catalog.read_mark(connection, catalog.RUNS_AND_STEPS)
        known = self._known
        if known is None or known[0] != mark or mark.projected.chain is None:
            known = self._known = mark, catalog.read_listed(connection, catalog.RUNS_AND_STEPS)
        return known[1]

    def _own_tail(self, connection: Connection, planned: Plan) -> Tail:
        rows = (chunk for which in planned.tail for chunk in chunks(connection, which))
        return Tail(self._connections.new_folder(), rows)

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
        return [self.folder.local(each.name) for each in segments if each.kind == kind]

    def tell_damage(self) -> None:
        """Tells whoever wanted to know."""
        self._tails.forget()
        for tell in self._on_damage:
            tell()


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


def _views(planned: Plan, folder: Folder | None, tail: Tail, selection: Selection) -> Views:
    """The relations as queries; steps first, for runs may be selected by them."""

    def query(kind: Kind, conditions: list[str]) -> str:
        segments = [each.name for each in planned.segments if each.kind == kind]
        paths = [] if folder is None else [folder.local(name) for name in segments]
        beside = [tail.paths[kind]] if tail.rows[kind] or not paths else []
        return rows_of_files(kind, paths, beside, conditions, planned.not_counting)

    return (
        ("steps", query("steps", relations.of_steps(selection))),
        ("runs", query("runs", relations.of_runs(selection, "steps"))),
    )


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
