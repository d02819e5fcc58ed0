"""What a glance at a recorder's tables and folders tells: numbers to watch, read and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import func, select

from recorder.store.engine import Database
from recorder.store.generations import RUNS
from recorder.store.spool import DAMAGED, REFUSED, segments
from recorder.store.tables import projections, runs

_HAS_GAP: Final = runs.c.anomalies.like('%"gap":%')
_COUNTED: Final = (
    select(
        runs.c.status,
        func.count(),
        func.count().filter(runs.c.anomalies != "{}", _HAS_GAP),
    )
    .where(
        runs.c.generation
        == select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
    )
    .group_by(runs.c.status)
)


class RunCounts(msgspec.Struct, frozen=True):
    """Runs as far as they are projected.

    Attributes:
        by_status: Only of statuses that some run has.
        with_gaps: Runs of which events were lost.
    """

    by_status: dict[str, int]
    with_gaps: int


class SpoolCounts(msgspec.Struct, frozen=True):
    """The spool's folder, whichever process wrote there.

    Attributes:
        waiting_files, waiting_bytes: To be appended to the log.
        refused_files: What the log refused.
        damaged_files: What could not be read to the end.
    """

    waiting_files: int
    waiting_bytes: int
    refused_files: int
    damaged_files: int


def count_runs(database: Database) -> RunCounts:
    """Counts the runs; takes about half a second for a million.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with database.reading() as connection:
        rows = connection.execute(_COUNTED).all()
    return RunCounts({row[0]: row[1] for row in rows}, sum(row[2] for row in rows))


def count_spool(folder: Path) -> SpoolCounts:
    """Counts what lies in the spool; a folder that is not there is empty."""
    sizes = [_size_bytes(segment.path) for segment in segments(folder)]
    return SpoolCounts(
        waiting_files=len(sizes),
        waiting_bytes=sum(sizes),
        refused_files=sum(1 for _ in folder.glob(f"*{REFUSED}")),
        damaged_files=sum(1 for _ in folder.glob(f"*{DAMAGED}")),
    )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has just been appended to the log
        return 0
