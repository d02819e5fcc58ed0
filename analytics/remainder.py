"""What of an answer comes from SQL: rows that are in no segment, put into files that are read with them."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from sqlalchemy import ColumnElement, exists

from analytics.fetching import Chunk
from analytics.schema import AFTER_LAST_MOMENT_US, FIRST_MOMENT_US
from analytics.segments.catalog import Kind
from analytics.segments.files import SegmentFile
from analytics.selection import Selection
from recorder.events import lift
from recorder.store.tables import runs, steps


class Tail:
    """Runs that are in no segment and their steps, in files, which go with this object.

    Parquet, as segments are: read together with them a tail costs a question next to nothing, while the
    planner takes twice as long for a union with a table (docs/performance.md).

    Args:
        folder: Where the files go, of their own.
        rows: In the columns of `analytics.schema`.

    Attributes:
        paths: Of the files, by what they hold.
        rows: How many, by the same.
    """

    def __init__(self, folder: Path, rows: Iterable[Chunk]) -> None:
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.paths: dict[Kind, str] = {
            kind: str(folder / f"{kind}.parquet") for kind in ("runs", "steps")
        }
        of_runs = SegmentFile(Path(self.paths["runs"]), "runs")
        of_steps = SegmentFile(Path(self.paths["steps"]), "steps")
        try:
            for chunk in rows:
                of_runs.add(pa.Table.from_batches([chunk.runs]))
                of_steps.add(pa.Table.from_batches([chunk.steps]))
        finally:
            of_runs.close()
            of_steps.close()
        self.rows: dict[Kind, int] = {"runs": of_runs.rows, "steps": of_steps.rows}


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
