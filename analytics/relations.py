"""The relations `runs`, `steps` and `events` of a snapshot, as views over files and what SQL added.

Conditions are written into the views as literals of ours, so that DuckDB skips files and row groups by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import duckdb
import pyarrow as pa

from analytics.engine import literal, pattern_of
from analytics.schema import AFTER_LAST_MOMENT_US, EVENTS, FIRST_MOMENT_US, RUNS, STEPS
from analytics.selection import Selection
from recorder.events import lift

Kind = Literal["runs", "steps", "events"]

_SCHEMAS: Final[dict[Kind, pa.Schema]] = {"runs": RUNS, "steps": STEPS, "events": EVENTS}


def select_rows(kind: Kind, source: str, conditions: Sequence[str] = ()) -> str:
    """A query for the rows of a relation.

    Args:
        kind: Which relation.
        source: A table, or files as `scan` names them.
        conditions: What to narrow them by.
    """
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(_SCHEMAS[kind].names)} FROM {source}{where}"


def rows_of_files(
    kind: Kind,
    segments: Sequence[str],
    tail: Sequence[str],
    conditions: Sequence[str],
    not_counting: Sequence[str],
) -> str:
    """A query for the rows of segments and of a tail; no row is in two of them.

    Args:
        kind: Which relation.
        segments: Paths of files.
        tail: Paths of more; of either there is one at least.
        conditions: What to narrow them by.
        not_counting: Runs whose rows in segments do not count.
    """
    if not not_counting or not segments:
        return select_rows(kind, scan([*segments, *tail]), conditions)
    counts = f"request_id NOT IN (SELECT unnest({literal(list(not_counting))}))"
    queries = [select_rows(kind, scan(segments), [*conditions, counts])]
    if tail:
        queries.append(select_rows(kind, scan(tail), conditions))
    return " UNION ALL ".join(queries)


def make_view(connection: duckdb.DuckDBPyConnection, kind: Kind, query: str) -> None:
    """Makes a relation, for this connection only."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS {query}")


def scan(files: Sequence[str]) -> str:
    """Files as a table, column names as they stand in them."""
    names = literal([pattern_of(path) for path in files])
    return f"read_parquet({names}, hive_partitioning = false)"


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
        conditions.append(f"opened_at >= make_timestamp({_near(selection.since)})")
    if selection.until is not None:
        conditions.append(f"opened_at < make_timestamp({_near(selection.until)})")
    return conditions


def _near(at_us: int) -> int:
    """The same moment, or the nearest DuckDB can tell: no run is opened beyond these."""
    return min(max(at_us, FIRST_MOMENT_US), AFTER_LAST_MOMENT_US)
