"""One segment file: rows in order of when their run was opened, in row groups that filters can skip."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.schema import AFTER_LAST_MOMENT_US, EVENTS, FIRST_MOMENT_US, RUNS, STEPS
from analytics.segments.catalog import Kind, Segment
from analytics.segments.folder import Folder

SCHEMAS: Final[dict[Kind, pa.Schema]] = {
    "runs": RUNS,
    "steps": STEPS,
    "events": EVENTS.append(pa.field("opened_at", pa.timestamp("us"))),
}
"""What is in the files. Events have when their run was opened, for they are kept by its day."""

FORMATS: Final[dict[Kind, int]] = {"runs": 1, "steps": 2, "events": 1}
"""Which columns the files have: to be counted up whenever `SCHEMAS`, or what a column means, changes. Files of
another format are read no more, and written anew."""

UNKNOWN_DAY: Final = "unknown"
DAY_US: Final = 86_400_000_000
ROW_GROUP_ROWS: Final = 122_880
GROUP_BYTES: Final = 64 * 1024 * 1024
_ORDER: Final[dict[Kind, list[tuple[str, str]]]] = {
    "runs": [("opened_at", "ascending"), ("first_position", "ascending")],
    "steps": [("opened_at", "ascending")],
    "events": [("opened_at", "ascending"), ("position", "ascending")],
}

_SPREAD: Final[dict[Kind, set[str]]] = {
    "runs": {
        *("opened_at", "closed_at", "duration_us", "first_event_us", "queued_us"),
        *("first_position", "as_of_position"),
    },
    "steps": {
        *("submitted_us", "finished_us", "duration_us", "inference_us", "overhead_us"),
        *("gap_us", "saved_us"),
    },
    "events": {"position", "received_at", "elapsed_us"},
}
"""Numbers that hardly repeat. Packed as differences they are written and read in half the time that a dictionary,
which is tried and given up, takes (docs/performance.md)."""

_UNIQUE: Final[dict[Kind, set[str]]] = {
    "runs": {"request_id", "input_digest", "seed"},
    "steps": {"step_request_id", "seed"},
    "events": {"frame"},
}
"""What hardly repeats and is no number: plain."""


def day_of(opened_at: int | None) -> str:
    """The day a run belongs to, by when it was opened in UTC."""
    if opened_at is None or not FIRST_MOMENT_US <= opened_at < AFTER_LAST_MOMENT_US:
        return UNKNOWN_DAY
    return (date(1970, 1, 1) + timedelta(days=opened_at // DAY_US)).isoformat()


def day_starts_us(day: str) -> int:
    """When a known day begins, microseconds since 1970."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_US


def new_segment(kind: Kind, day: str) -> Segment:
    """A file to be, under a name nobody else has."""
    name = f"{kind}/day={day}/{uuid.uuid4().hex}.parquet"
    return Segment(name, kind, day, FORMATS[kind])


def sorted_rows(kind: Kind, rows: pa.Table) -> pa.Table:
    """Rows as they stand in a file; as given where they are in order already."""
    opened_at = rows.column("opened_at")
    if kind == "steps" and _ascends(opened_at):
        return rows
    return rows.sort_by(_ORDER[kind])


def _ascends(values: pa.ChunkedArray) -> bool:
    if len(values) < 2:
        return True
    whole = values.combine_chunks()
    if whole.null_count:
        return False
    return bool(pc.all(pc.less_equal(whole[:-1], whole[1:])).as_py())


def by_day(rows: pa.Table) -> dict[str, pa.Table]:
    """Rows apart by the day they belong to."""
    opened_at = rows.column("opened_at").combine_chunks().cast(pa.int64())
    numbers = opened_at.fill_null(AFTER_LAST_MOMENT_US).to_numpy() // DAY_US
    days = np.unique(numbers)
    if len(days) == 1:
        return {day_of(int(days[0]) * DAY_US): rows}
    found: dict[str, list[pa.Table]] = {}
    for number in days:
        day = day_of(int(number) * DAY_US)
        found.setdefault(day, []).append(rows.filter(pa.array(numbers == number)))
    return {day: pa.concat_tables(tables) for day, tables in found.items()}


class SegmentFile:
    """A file being filled, row group by row group.

    Args:
        path: Where.
        kind: What it holds.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        names = SCHEMAS[kind].names
        self._writer = pq.ParquetWriter(
            path,
            SCHEMAS[kind],
            compression="zstd",
            compression_level=1,
            use_dictionary=[x for x in names if x not in _SPREAD[kind] | _UNIQUE[kind]],
            column_encoding=dict.fromkeys(_SPREAD[kind], "DELTA_BINARY_PACKED"),
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self.rows = 0
        self.first_opened_at: int | None = None
        self.last_opened_at: int | None = None

    def add(self, rows: pa.Table) -> None:
        """Appends rows, in order."""
        if not rows.num_rows:
            return
        self._note(rows.column("opened_at"))
        self.rows += rows.num_rows
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        self._waiting_bytes += rows.nbytes
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what is left and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _note(self, opened_at: pa.ChunkedArray) -> None:
        ends = pc.min_max(opened_at.cast(pa.int64())).as_py()
        if ends["min"] is None:
            return
        first, last = self.first_opened_at, self.last_opened_at
        self.first_opened_at = ends["min"] if first is None else min(first, ends["min"])
        self.last_opened_at = ends["max"] if last is None else max(last, ends["max"])


def write_segment(folder: Folder, segment: Segment, rows: Iterable[pa.Table]) -> Segment:
    """Writes a file; what is known of it then. Without rows nothing is written, and its size is 0.

    Args:
        folder: Where to.
        segment: The file to be.
        rows: Its rows, all of them in order.
    """
    with_rows = (table for table in rows if table.num_rows)
    first = next(with_rows, None)
    if first is None:
        return segment
    facts: dict[str, Any] = {}

    def fill(path: Path) -> None:
        file = SegmentFile(path, segment.kind)
        try:
            file.add(first)
            for table in with_rows:
                file.add(table)
        finally:
            file.close()
        facts.update(
            rows=file.rows,
            first_opened_at=file.first_opened_at,
            last_opened_at=file.last_opened_at,
        )

    size_bytes = folder.write(segment.name, fill)
    return msgspec.structs.replace(segment, size_bytes=size_bytes, **facts)


def read_rows(folder: Folder, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """What is in a file.

    Raises:
        OSError: It is not there, or no Parquet file.
    """
    path = folder.local(segment.name)
    return pq.read_table(path, columns=columns, partitioning=None)
