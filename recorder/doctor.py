"""The doctor: looks over a log and everything around it, and says what is wrong and what to do.

It reads only. A `problem` means that something recorded is missing, changed or not shown; a `notice` is
worth knowing and harms nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Executable, exists, select

from recorder.audit import verify
from recorder.projector import is_made_from
from recorder.store.engine import Database
from recorder.store.generations import RUNS, read_checkpoint
from recorder.store.log import EventLog
from recorder.store.spool import DAMAGED, REFUSED, Segment, segments
from recorder.store.tables import events, open_runs, projections, recorders, runs

Severity = Literal["ok", "notice", "problem"]

_EXAMPLES = 10


class Finding(msgspec.Struct, frozen=True):
    """What one check found.

    Attributes:
        check: Its name.
        severity: See the module.
        summary: One line; for what is not ok, with what to do.
        examples: Some of the runs, files or positions concerned.
    """

    check: str
    severity: Severity
    summary: str
    examples: list[str] = []


def examine(
    database: Database,
    log: EventLog,
    spool_folder: Path,
    *,
    progress: Callable[[int], object] | None = None,
) -> list[Finding]:
    """Runs all checks; the chain is walked to its end, which takes its time on a long log.

    Raises:
        LogUnavailable: The database does not answer.
    """
    return [
        _chain(log, progress),
        _projection(database, log),
        _gaps(database),
        _orphans(database),
        _open_runs(database),
        _interrupted(database),
        *_spool(spool_folder),
        *_file(database),
    ]


def _chain(log: EventLog, progress: Callable[[int], object] | None) -> Finding:
    verdict = verify(log, progress=progress)
    if verdict.intact:
        return Finding("chain", "ok", f"intact up to position {verdict.position}")
    where = f"position {verdict.broken_at}"
    return Finding("chain", "problem", f"broken at {where}: {verdict.reason}", [where])


def _projection(database: Database, log: EventLog) -> Finding:
    with database.reading() as connection:
        checkpoint = read_checkpoint(connection, RUNS)
    head = log.head().position
    if checkpoint.position > head or not is_made_from(log, checkpoint):
        summary = (
            f"made from another log: its checkpoint is {checkpoint.position}, the head {head} "
            "(a restored backup?); run `recorder rebuild`"
        )
        return Finding("projection", "problem", summary)
    if hidden := _hidden(database):
        summary = f"the tables lack {_count(hidden, 'run')} of the log; run `recorder rebuild`"
        return Finding("projection", "problem", summary, hidden[:_EXAMPLES])
    if behind := head - checkpoint.position:
        return Finding("projection", "notice", f"behind by {behind}; reading catches it up")
    return Finding("projection", "ok", f"up to date at position {head}")


def _hidden(database: Database) -> list[str]:
    """Runs without a row, though the projection has passed their first event; asked at once, for it goes on."""
    live = select(projections.c.generation, projections.c.position).where(
        projections.c.name == RUNS
    )
    made = live.subquery()
    logged = (
        select(events.c.request_id)
        .join(made, events.c.position <= made.c.position)
        .where(events.c.seq == 0)
    )
    shown = select(runs.c.request_id).join(made, runs.c.generation == made.c.generation)
    return _ids(database, logged.except_(shown))


def _gaps(database: Database) -> Finding:
    rows = _ids(database, select(events.c.request_id).where(events.c.type == "gap").distinct())
    if not rows:
        return Finding("gaps", "ok", "nothing received was lost")
    return Finding(
        "gaps",
        "problem",
        f"events that found no room are missing in {_count(rows, 'run')}",
        rows[:_EXAMPLES],
    )


def _orphans(database: Database) -> Finding:
    first = events.alias()
    query = select(first.c.request_id).where(first.c.seq == 0, first.c.type != "opened")
    rows = _ids(database, query)
    if not rows:
        return Finding("orphans", "ok", "every run begins with its `opened` event")
    return Finding(
        "orphans", "notice", f"no `opened` event in {_count(rows, 'run')}", rows[:_EXAMPLES]
    )


def _open_runs(database: Database) -> Finding:
    alive = exists().where(recorders.c.instance == open_runs.c.recorder)
    rows = _ids(database, select(open_runs.c.request_id))
    lost = _ids(database, select(open_runs.c.request_id).where(~alive))
    if lost:
        summary = f"the recorder of {_count(lost, 'open run')} is gone; a running one closes them"
        return Finding("open_runs", "notice", summary, lost[:_EXAMPLES])
    return Finding("open_runs", "ok", f"{_count(rows, 'run')} open, each with its recorder")


def _file(database: Database) -> Iterator[Finding]:
    """Of SQLite: whether its pages are as they should be, those included that nobody has read above."""
    if not database.is_sqlite:
        return
    with database.reading() as connection:
        told = connection.exec_driver_sql(f"PRAGMA quick_check({_EXAMPLES})").scalars().all()
    if told != ["ok"]:
        yield Finding("file", "problem", "the file is damaged; go back to a backup of it", [*told])


def _interrupted(database: Database) -> Finding:
    generation = (
        select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
    )
    mine = select(runs.c.request_id).where(
        runs.c.generation == generation, runs.c.close_reason == "recorder_lost"
    )
    rows = _ids(database, mine)
    if not rows:
        return Finding("interrupted", "ok", "no run lost its recorder")
    return Finding(
        "interrupted", "notice", f"the recorder of {_count(rows, 'run')} was lost", rows[:_EXAMPLES]
    )


def _spool(folder: Path) -> Iterator[Finding]:
    waiting = segments(folder)
    torn = [segment.path.name for segment in waiting if not segment.is_whole()]
    names = [segment.path.name for segment in waiting]
    if torn:
        yield Finding(
            "spool", "problem", f"{_count(torn, 'damaged file')} in {folder}", torn[:_EXAMPLES]
        )
    elif names:
        summary = f"{_count(names, 'file')} waiting in {folder}; the next recorder appends them"
        yield Finding("spool", "notice", summary, names[:_EXAMPLES])
    else:
        yield Finding("spool", "ok", "nothing waits in the spool")
    yield from _damaged(folder)
    yield from _refused(folder)


def _damaged(folder: Path) -> Iterator[Finding]:
    names = sorted(path.name for path in folder.glob(f"*{DAMAGED}"))
    if names:
        summary = (
            f"{_count(names, 'file')} in {folder} could not be read to the end; what could be is in "
            "the log; delete what nobody needs any more"
        )
        yield Finding("damaged", "problem", summary, names[:_EXAMPLES])


def _refused(folder: Path) -> Iterator[Finding]:
    files = sorted(folder.glob(f"*{REFUSED}"))
    if not files:
        return
    kept = (spooled for path in files for spooled in Segment(path).read())
    of_run = Counter(spooled.event.request_id for spooled in kept)
    summary = (
        f"the log refused {_number(of_run.total(), 'event')} of {_count(of_run, 'run')}, kept in "
        f"{_count(files, 'file')} in {folder}; delete what nobody needs any more"
    )
    examples = [
        f"{request_id}: {_number(events, 'event')}"
        for request_id, events in of_run.most_common(_EXAMPLES)
    ]
    yield Finding("refused", "problem", summary, examples)


def _count(things: Sized, noun: str) -> str:
    return _number(len(things), noun)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _ids(database: Database, query: Executable) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(query).scalars())
