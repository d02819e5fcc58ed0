"""The relations `runs`, `steps` and `events` of a snapshot, as views over segments and what SQL added.

Conditions are written into the views as literals of ours, so that DuckDB skips files and row groups by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import duckdb
import pyarrow as pa

from analytics.engine import literal
from analytics.schema import EVENTS, RUNS, STEPS
from analytics.selection import Selection
from recorder.events import lift

Kind = Literal["runs", "steps", "events"]

_SCHEMAS: Final[dict[Kind, pa.Schema]] = {"runs": RUNS, "steps": STEPS, "events": EVENTS}


class Parts:
    """Where the rows of a relation come from; no row is in two of them.

    Args:
        files: Parquet files.
        not_counting: Runs whose rows in the files do not count.
        tables: Names of tables beside the files, narrowed already.
    """

    def __init__(
        self, files: Sequence[Path], not_counting: Sequence[str], tables: Sequence[str]
    ) -> None:
        self.files = files
        self.not_counting = not_counting
        self.tables = tables


def make_view(
    connection: duckdb.DuckDBPyConnection, kind: Kind, parts: Parts, conditions: Sequence[str]
) -> None:
    """Makes a relation, for this connection only."""
    columns = ", ".join(_SCHEMAS[kind].names)
    selects = [f"SELECT {columns} FROM {table}" for table in parts.tables]
    if parts.files:
        narrow = list(conditions)
        if parts.not_counting:
            narrow.append(f"request_id NOT IN (SELECT unnest({literal(parts.not_counting)}))")
        where = f" WHERE {' AND '.join(narrow)}" if narrow else ""
        selects.append(f"SELECT {columns} FROM {scan(parts.files)}{where}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS {' UNION ALL '.join(selects)}")


def scan(files: Sequence[Path]) -> str:
    """Files as a table, column names as they stand in them."""
    names = literal([_escaped(str(file)) for file in files])
    return f"read_parquet({names}, hive_partitioning = false)"


def _escaped(path: str) -> str:
    """Where a folder's name has them, these stand for themselves."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in path)


def of_runs(selection: Selection, steps: str) -> list[str]:
    """Conditions on runs.

    Args:
        selection: Which.
        steps: The relation of the selected steps.
    """
    conditions = _of_run(selection, status="status")
    if _of_step(selection):
        conditions.append(f"request_id IN (SELECT request_id FROM {steps})")
    return conditions


def of_steps(selection: Selection) -> list[str]:
    """Conditions on steps."""
    return _of_run(selection, status="run_status") + _of_step(selection)


def _of_run(selection: Selection, *, status: str) -> list[str]:
    conditions = _window(selection)
    if selection.workflow is not None:
        conditions.append(f"workflow = {literal(lift(selection.workflow))}")
    if selection.status is not None:
        conditions.append(f"{status} = {literal(lift(selection.status))}")
    if selection.definition is not None:
        conditions.append(f"definition = {literal(lift(selection.definition))}")
    return conditions


def _of_step(selection: Selection) -> list[str]:
    conditions = []
    if selection.node is not None:
        conditions.append(f"node_id = {literal(lift(selection.node))}")
    if selection.app is not None:
        conditions.append(f"app_id = {literal(lift(selection.app))}")
    return conditions


def _window(selection: Selection) -> list[str]:
    conditions = []
    if selection.since is not None:
        conditions.append(f"opened_at >= make_timestamp({selection.since})")
    if selection.until is not None:
        conditions.append(f"opened_at < make_timestamp({selection.until})")
    return conditions
