"""The exporter: brings segments up with the projections, one round after the other.

A round claims the set (SQL), reads (SQL, one transaction), lists the files to be (SQL), writes them, and lets
them count in the transaction that moves the checkpoint. Broken off anywhere, it leaves what counted before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from analytics.fetching import Chunk, Which, chunks
from analytics.segments import catalog
from analytics.segments.catalog import Change, Columns, Listed, Overtaken, Segment
from analytics.segments.event_rows import events_of
from analytics.segments.files import (
    by_day,
    day_of,
    new_segment,
    read_rows,
    sorted_rows,
    write_segment,
)
from analytics.segments.folder import Folder
from analytics.segments.merging import to_merge
from analytics.segments.reading import damaged_days, days_of, whole_day
from recorder.store.engine import Database
from recorder.store.generations import Checkpoint
from recorder.store.tables import runs

ROUND_ROWS: Final = 200_000
"""Rows a round takes, for it sorts them in memory."""

GRACE_S: Final = 600.0
"""How long a file stays once it counts no more: a reader that listed it may still read it."""

POLITE_S: Final = 60.0
"""Another exporter's files that have been in the making for longer are a dead one's."""

Done = Literal["exported", "rewritten", "merged", "started over", "busy", "overtaken", "nothing"]


class Exporter:
    """Keeps one set of segments up. For one thread at a time.

    Args:
        database: Where the log, the projections and the list of segments are.
        folder: Where the files go.
        columns: What to export.
        now_us: The wall clock, microseconds since 1970.
        grace_s: See `GRACE_S`.
        polite_s: See `POLITE_S`; 0 takes over from whoever is at work.
        round_rows: See `ROUND_ROWS`.
    """

    def __init__(
        self,
        database: Database,
        folder: Folder,
        columns: Columns = catalog.RUNS_AND_STEPS,
        *,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        grace_s: float = GRACE_S,
        polite_s: float = POLITE_S,
        round_rows: int = ROUND_ROWS,
    ) -> None:
        self._database = database
        self._folder = folder
        self._columns = columns
        self._now_us = now_us
        self._grace_us = int(grace_s * 1_000_000)
        self._polite_us = int(polite_s * 1_000_000)
        self._round_rows = round_rows
        self._may_be_damaged = True
        self._broken: set[str] = set()  # days with a file that cannot be read
        self._writing: list[Segment] = []

    def catch_up(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Done:
        """Rounds until there is nothing left to do, or another exporter is at work.

        Args:
            stop: Asked after every round whether to end.
            progress: Called after every round with the position reached.

        Returns:
            What came of the last round.

        Raises:
            LogUnavailable: The database does not answer.
            OSError: A file could not be written, read or deleted.
        """
        while True:
            done = self.round()
            progress(self.listed().exported.position)
            if done in ("busy", "overtaken", "nothing") or stop():
                return done

    def listed(self) -> Listed:
        """What counts now."""
        with self._database.reading() as connection:
            return catalog.read_listed(connection, self._columns)

    def look_for_damage(self) -> None:
        """Has the next round see whether all files are there."""
        self._may_be_damaged = True

    def start_over(self) -> None:
        """Drops all segments; the next rounds make them anew from the log."""
        with self._database.writing() as connection:
            now_us = self._now_us()
            catalog.claim(connection, self._columns, since_us=now_us)
            catalog.start_over(connection, self._columns, 0, now_us=now_us)

    def round(self) -> Done:
        """Does the most urgent thing there is to do; see `catch_up`."""
        with self._database.writing() as connection:
            since_us = self._now_us() - self._polite_us
            start = catalog.claim(connection, self._columns, since_us=since_us)
        if start is None:
            return "busy"
        self._delete_dropped()
        self._writing = []
        try:
            return self._round(start)
        except Overtaken:
            for file in self._writing:
                self._folder.delete(file.name)
            return "overtaken"
        except Exception:
            self._may_be_damaged = True
            self._give_up()
            raise

    def _round(self, start: Checkpoint) -> Done:
        with self._database.reading() as connection:
            listed = catalog.read_listed(connection, self._columns)
            if not listed.exported.position and catalog.has_live(connection, self._columns):
                return self._start_over(listed, start)
            day = self._day_to_rewrite(connection, listed)
            if day is not None:
                return self._rewrite(connection, listed, start, day)
            if self._export(connection, listed, start):
                return "exported"
        return "merged" if self._merge(listed, start) else "nothing"

    def _start_over(self, listed: Listed, start: Checkpoint) -> Done:
        """The segments are of another generation or another log."""
        with self._database.writing() as connection:
            if catalog.read_exported(connection, self._columns, lock=True) != start:
                raise Overtaken
            generation = listed.projected.generation
            catalog.start_over(connection, self._columns, generation, now_us=self._now_us())
        return "started over"

    # New runs

    def _export(self, connection: Connection, listed: Listed, start: Checkpoint) -> bool:
        taken, position = self._take(connection, listed)
        chain_there = catalog.chain_at(connection, position)
        if not taken or chain_there is None:
            return False  # nothing was closed; or the projection is ahead of a restored log
        end = Checkpoint(listed.projected.generation, position, chain_there)
        of_runs = by_day(_table(chunk.runs for chunk in taken))
        of_steps = by_day(_table(chunk.steps for chunk in taken))
        files = [new_segment(kind, day) for day in of_runs for kind in self._columns.kinds]
        self._list(files)

        def rows(file: Segment) -> Iterable[pa.Table]:
            match file.kind:
                case "runs":
                    return [sorted_rows("runs", of_runs[file.day])]
                case "steps":
                    found = of_steps.get(file.day)
                    return [] if found is None else [sorted_rows("steps", found)]
                case _:
                    in_order = sorted_rows("runs", of_runs[file.day])
                    return events_of(connection, _opened([in_order]), until=end.position)

        written = [write_segment(self._folder, file, rows(file)) for file in files]
        # Nothing that was erased is in a file: else its day would have been written anew instead.
        self._commit(Change(start, end, written, erased=listed.erased))
        return True

    def _take(self, connection: Connection, listed: Listed) -> tuple[list[Chunk], int]:
        """Closed runs beyond the checkpoint, as many as a round takes, and how far that leads."""
        exported, projected = listed.exported, listed.projected
        beyond = (runs.c.closed_at.isnot(None), runs.c.as_of_position > exported.position)
        within = runs.c.as_of_position <= projected.position
        which = Which(projected.generation, (*beyond, within), by_index=catalog.CHANGED_INDEX)
        taken: list[Chunk] = []
        rows = 0
        for chunk in chunks(connection, which):
            taken.append(chunk)
            rows += chunk.runs.num_rows + chunk.steps.num_rows
            if rows >= self._round_rows:
                return taken, chunk.runs.column("as_of_position")[-1].as_py()
        return taken, projected.position

    # Days that are not as they should be

    def _day_to_rewrite(self, connection: Connection, listed: Listed) -> str | None:
        days = self._broken & {each.day for each in listed.segments}
        if self._may_be_damaged:
            damaged = damaged_days(self._folder, listed.segments)
            self._may_be_damaged = bool(damaged)
            days |= damaged
        if listed.superseded:
            days |= self._days_that_hold(listed)
        if listed.erased:
            days |= set(days_of(connection, listed, list(listed.erased)).values())
        return min(days, default=None)

    def _days_that_hold(self, listed: Listed) -> set[str]:
        """Days whose files have rows of runs that changed since."""
        superseded = pa.array(listed.superseded, pa.string())
        days: set[str] = set()
        for file in listed.segments:
            if file.kind != "steps" and file.day not in days:
                ids = read_rows(self._folder, file, ["request_id"]).column("request_id")
                if pc.any(pc.is_in(ids, value_set=superseded)).as_py():
                    days.add(file.day)
        return days

    def _rewrite(self, connection: Connection, listed: Listed, start: Checkpoint, day: str) -> Done:
        """Writes a day's files anew from SQL; the checkpoint stays.

        Runs that changed since are not among them: they are exported once more, when their turn comes.
        """
        files = [new_segment(kind, day) for kind in self._columns.kinds]
        self._list(files)
        which = whole_day(listed, day)

        def rows(file: Segment) -> Iterator[pa.Table]:
            for chunk in chunks(connection, which):
                if file.kind == "events":
                    opened = _opened([_table([chunk.runs])])
                    yield from events_of(connection, opened, until=listed.exported.position)
                else:
                    part = chunk.runs if file.kind == "runs" else chunk.steps
                    yield sorted_rows(file.kind, _table([part]))

        written = [write_segment(self._folder, file, rows(file)) for file in files]
        replaced = [each.name for each in listed.segments if each.day == day]
        days = days_of(connection, listed, list(listed.erased))
        erased = {id_: times for id_, times in listed.erased.items() if days.get(id_) == day}
        self._commit(Change(start, start, written, replaced, erased))
        self._broken.discard(day)
        return "rewritten"

    # Small files

    def _merge(self, listed: Listed, start: Checkpoint) -> bool:
        small = to_merge(listed.segments, today=day_of(self._now_us()))
        if not small:
            return False
        merged = new_segment(small[0].kind, small[0].day)
        try:
            tables = [read_rows(self._folder, each) for each in small]
        except (OSError, pa.ArrowInvalid):
            self._broken.add(merged.day)
            return True
        rows = sorted_rows(merged.kind, pa.concat_tables(tables))
        self._list([merged])
        written = write_segment(self._folder, merged, [rows])
        self._commit(Change(start, start, [written], [each.name for each in small]))
        return True

    # SQL

    def _list(self, files: list[Segment]) -> None:
        with self._database.writing() as connection:
            catalog.list_as_writing(connection, files, now_us=self._now_us())
        self._writing = files

    def _give_up(self) -> None:
        """Has the files of a round that failed deleted; should that fail too, a later claim does."""
        with suppress(Exception), self._database.writing() as connection:
            catalog.abandon(connection, [file.name for file in self._writing])

    def _commit(self, change: Change) -> None:
        with self._database.writing() as connection:
            catalog.commit(connection, self._columns, change, now_us=self._now_us())

    def _delete_dropped(self) -> None:
        with self._database.reading() as connection:
            since_us = self._now_us() - self._grace_us
            names = catalog.to_delete(connection, self._columns, since_us=since_us)
        deleted = []
        for name in names:
            with suppress(OSError):  # it stays listed, and is tried again
                self._folder.delete(name)
                deleted.append(name)
        if deleted:
            with self._database.writing() as connection:
                catalog.forget(connection, deleted)


def _table(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(list(batches))


def _opened(tables: Iterable[pa.Table]) -> dict[str, int | None]:
    """Runs, and when they were opened."""
    found: dict[str, int | None] = {}
    for table in tables:
        ids = table.column("request_id").to_pylist()
        found.update(zip(ids, table.column("opened_at").cast(pa.int64()).to_pylist(), strict=True))
    return found
