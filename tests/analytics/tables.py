"""Tables of runs and steps as a snapshot has them, for tests that need no log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from analytics.asking import Snapshot, answering
from analytics.schema import RUNS, STEPS
from tests.builders import WORKFLOW
from tests.clocks import NOVEMBER_2023_US

MINUTE_US = 60_000_000


def a_run(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A completed run; runs are opened a minute apart."""
    known = {
        "request_id": f"run-{number}",
        "workflow": WORKFLOW,
        "status": "completed",
        "opened_at": NOVEMBER_2023_US + number * MINUTE_US,
        "duration_us": 1_000,
    }
    return known | fields


def a_step(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A completed step of the run of this number."""
    known = {
        "request_id": f"run-{number}",
        "workflow": WORKFLOW,
        "opened_at": NOVEMBER_2023_US + number * MINUTE_US,
        "run_status": "completed",
        "node_id": "a",
        "app_id": "fal-ai/app",
        "attempt": 1,
        "status": "completed",
        "duration_us": 1_000,
    }
    return known | fields


@contextmanager
def asked(
    *, runs: Sequence[dict[str, Any]] = (), steps: Sequence[dict[str, Any]] = (), position: int = 0
) -> Iterator[Snapshot]:
    """A snapshot of these rows."""
    tables = {"runs": _table(runs, RUNS), "steps": _table(steps, STEPS)}
    with answering(tables, as_of_position=position) as opened:
        yield opened


def _table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.table(columns, schema=schema)
