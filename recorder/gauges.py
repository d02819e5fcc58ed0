"""What a glance at a recorder's tables and folders tells: numbers to watch, read and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, BigInteger, ColumnElement, Select, Text, cast, func, select, true

from recorder.events import UNRECOGNISED
from recorder.store.engine import Database
from recorder.store.generations import RUNS
from recorder.store.spool import DAMAGED, REFUSED, segments
from recorder.store.tables import projections, runs

_LIVE: Final[ColumnElement[bool]] = (
    runs.c.generation
    == select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
)
_BY_STATUS: Final = select(runs.c.status, func.count()).where(_LIVE).group_by(runs.c.status)


class RunCounts(msgspec.Struct, frozen=True):
    """Runs as far as they are projected.

    Attributes:
        by_status: Only of statuses that some run has.
        with_gaps: Runs of which events were lost.
        quarantined: Payloads that are none of fal's events and are kept as they came, by reason, see
            `UNRECOGNISED`.
    """

    by_status: dict[str, int]
    with_gaps: int
    quarantined: dict[str, int]


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
    """Counts the runs, and what was odd about them; takes about half a second for a million.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with database.reading() as connection:
        by_status = connection.execute(_BY_STATUS).all()
        by_anomaly = connection.execute(_by_anomaly(database)).all()
    runs_with = {name: count for name, count, _ in by_anomaly}
    times = {name: count for name, _, count in by_anomaly}
    return RunCounts(
        by_status=dict(map(tuple, by_status)),
        with_gaps=runs_with.get("gap", 0),
        quarantined={reason: int(times.get(reason, 0)) for reason in UNRECOGNISED},
    )


def _by_anomaly(database: Database) -> Select[Any]:
    """Of each anomaly how many runs have it, and how often it was counted in all of them."""
    counts = runs.c.anomalies if database.is_sqlite else cast(runs.c.anomalies, JSON)
    each = func.json_each(counts).table_valued("key", "value")
    times = func.sum(cast(cast(each.c.value, Text), BigInteger))
    return (
        select(each.c.key, func.count(), times)
        .select_from(runs.join(each, true()))
        .where(_LIVE, runs.c.anomalies != "{}")
        .group_by(each.c.key)
    )


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
