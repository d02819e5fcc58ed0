"""What of an answer comes from SQL: rows that are in no segment, in memory or, where they are many, in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, exists

from analytics.fetching import Which, chunks
from analytics.schema import AFTER_LAST_MOMENT_US, FIRST_MOMENT_US, RUNS, STEPS
from analytics.segments.files import SegmentFile
from analytics.selection import Selection
from recorder.events import lift
from recorder.store.tables import runs, steps

IN_MEMORY_ROWS: Final = 250_000
"""More rows than this go to a file."""

_SCHEMAS: Final = {"runs": RUNS, "steps": STEPS}


class Tail:
    """Rows of `runs` and `steps`, in the columns of `analytics.schema`.

    Args:
        scratch: A folder for files, which stays the caller's to delete.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._batches: dict[str, list[pa.RecordBatch]] = {"runs": [], "steps": []}
        self._files: dict[str, SegmentFile] = {}
        self._rows = 0

    def read(self, connection: Connection, of: Iterable[Which]) -> None:
        """Adds runs and their steps."""
        for which in of:
            for chunk in chunks(connection, which):
                self._batches["runs"].append(chunk.runs)
                self._batches["steps"].append(chunk.steps)
                self._rows += chunk.runs.num_rows + chunk.steps.num_rows
                if self._rows >= IN_MEMORY_ROWS:
                    self._spill()

    def table(self, kind: Literal["runs", "steps"]) -> pa.Table:
        """The rows that are in memory."""
        return pa.Table.from_batches(self._batches[kind], _SCHEMAS[kind])

    def close(self) -> list[Path]:
        """Ends reading; the files, one a kind, `runs` first. None where all is in memory."""
        if not self._files:
            return []
        self._spill()
        for file in self._files.values():
            file.close()
        return [self._path("runs"), self._path("steps")]

    def _spill(self) -> None:
        kinds: tuple[Literal["runs", "steps"], ...] = ("runs", "steps")
        for kind in kinds:
            if kind not in self._files:
                self._files[kind] = SegmentFile(self._path(kind), kind)
            self._files[kind].add(self.table(kind))
            self._batches[kind] = []
        self._rows = 0

    def _path(self, kind: str) -> Path:
        return self._scratch / f"{kind}.parquet"


def of_run(selection: Selection) -> list[ColumnElement[bool]]:
    """Conditions on `runs`: those selected, with a selected step where steps are."""
    conditions: list[ColumnElement[bool]] = []
    if selection.workflow is not None:
        conditions.append(runs.c.workflow == lift(selection.workflow))
    if selection.status is not None:
        conditions.append(runs.c.status == lift(selection.status))
    if selection.definition is not None:
        conditions.append(runs.c.definition == lift(selection.definition))
    if selection.since is not None:
        conditions.append(runs.c.opened_at >= max(selection.since, FIRST_MOMENT_US))
        conditions.append(runs.c.opened_at < AFTER_LAST_MOMENT_US)
    if selection.until is not None:
        conditions.append(runs.c.opened_at < min(selection.until, AFTER_LAST_MOMENT_US))
        conditions.append(runs.c.opened_at >= FIRST_MOMENT_US)
    if of_step := of_steps(selection):
        of_same_run = (
            steps.c.generation == runs.c.generation,
            steps.c.request_id == runs.c.request_id,
        )
        is_one = (steps.c[name] == value for name, value in of_step.items())
        conditions.append(exists().where(*of_same_run, *is_one))
    return conditions


def of_steps(selection: Selection) -> dict[str, str]:
    """What columns of `steps` are for those selected."""
    wanted = {"node_id": lift(selection.node), "app_id": lift(selection.app)}
    return {name: value for name, value in wanted.items() if value is not None}
