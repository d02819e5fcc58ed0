"""What a report says, put together from the answers to many questions about one state of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec

from analytics.asking import Snapshot, Source, snapshot
from analytics.comparing.changes import ChangesReport, changes_in
from analytics.comparing.compare import CompareReport, compare_snapshots
from analytics.comparing.queries import ChangesQuery, CompareQuery
from analytics.comparing.windows import with_previous
from analytics.latency import LatencyReport, latency_in
from analytics.reporting.queries import ReportQuery
from analytics.selection import Selection

MOST_ROWS: Final = 20
"""Nodes and slow runs that are told."""
_MOST_ERRORS: Final = 50
_BUCKETS: Final = 60
_MOST_BUCKETS: Final = 400
"""Runs over more than thirty years are not shown to their end."""
_BUCKET_LENGTHS_S: Final = (
    *(1, 5, 15, 60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600),
    *(86_400, 7 * 86_400, 28 * 86_400),
)

PARTS: Final = (
    "totals",
    "timeline",
    "percentiles",
    "errors",
    "nodes",
    "slowest",
    "changes",
    "compare",
)
Tell = Callable[[str], object]
"""Called with the name of each part before it is worked out."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All selected runs.

    Attributes:
        p50_us, p95_us: Of the duration of completed runs.
        first_at_us, last_at_us: When the first and the last was opened, microseconds since 1970.
    """

    runs: int
    completed: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    p50_us: float | None
    p95_us: float | None
    first_at_us: int | None
    last_at_us: int | None

    @property
    def success_rate(self) -> float | None:
        """Completed runs among those that ended but for a client that left; None without any."""
        ended = self.completed + self.failed + self.interrupted
        return self.completed / ended if ended else None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of the timeline; `failed` are those that failed or were interrupted."""

    at_us: int
    runs: int = 0
    completed: int = 0
    failed: int = 0
    p50_us: float | None = None
    p95_us: float | None = None


class Timeline(msgspec.Struct, frozen=True):
    """Buckets in a row without holes, each `bucket_s` seconds long."""

    bucket_s: int
    moments: list[Moment]


class ErrorRow(msgspec.Struct, frozen=True):
    """A kind of failure, of runs or of steps; see `errors.sql`."""

    of: str
    kind: str
    app: str | None
    field: str | None
    failures: int
    share: float
    runs: int
    request_id: str
    message: str | None


class NodeRow(msgspec.Struct, frozen=True):
    """A node and the time its steps took; see `report_nodes.sql`."""

    workflow: str
    node: str | None
    steps: int
    duration_us: int
    inference_us: int
    overhead_us: int
    share: float | None


class SlowRun(msgspec.Struct, frozen=True):
    """A run that took long, and its longest step; see `slowest_runs.sql`."""

    request_id: str
    workflow: str
    status: str
    duration_us: int
    opened_at_us: int | None
    node: str | None
    node_us: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it.

    Attributes:
        query: What was asked.
        window: What it is about; with both ends where it is compared.
        before: The window it is compared with.
        totals, totals_before: Of either.
        compare: None where it is not compared.
        as_of_position: The log position all of this is derived from at least.
    """

    query: ReportQuery
    window: Selection
    before: Selection | None
    totals: Totals
    totals_before: Totals | None
    timeline: Timeline
    latency: LatencyReport
    errors: list[ErrorRow]
    nodes: list[NodeRow]
    slowest: list[SlowRun]
    changes: ChangesReport
    compare: CompareReport | None
    as_of_position: int


def compose(
    source: Source, query: ReportQuery, *, now_us: int, tell: Tell = lambda _: None
) -> Report:
    """Composes a report of what is projected by now.

    Args:
        source: What to ask: a database, alone or with its segments.
        query: What to report on.
        now_us: Where a window without an end ends, if it is compared; microseconds since 1970.
        tell: Called as the work goes on.

    Raises:
        LogUnavailable: The database does not answer.
        BadQuery: The window ends before it starts.
    """
    with _opened(source, query, now_us) as (opened, window, opened_before, before):
        tell("totals")
        totals = _totals(opened)
        totals_before = None if opened_before is None else _totals(opened_before)
        tell("timeline")
        timeline = _timeline(opened, totals, window)
        tell("percentiles")
        latency = latency_in(opened, query.by)
        tell("errors")
        errors = _errors(opened)
        tell("nodes")
        nodes = [NodeRow(**row) for row in opened.rows("report_nodes", {"most": MOST_ROWS})]
        tell("slowest")
        slowest = _slowest(opened)
        tell("changes")
        changes = changes_in(opened, ChangesQuery(**msgspec.structs.asdict(window)))
        tell("compare")
        compare = None
        if opened_before is not None and before is not None:
            sides = CompareQuery(a=before, b=window)
            compare = compare_snapshots(opened_before, opened, sides)
        return Report(
            query=query,
            window=window,
            before=before,
            totals=totals,
            totals_before=totals_before,
            timeline=timeline,
            latency=latency,
            errors=errors,
            nodes=nodes,
            slowest=slowest,
            changes=changes,
            compare=compare,
            as_of_position=opened.as_of_position if compare is None else compare.as_of_position,
        )


@contextmanager
def _opened(
    source: Source, query: ReportQuery, now_us: int
) -> Iterator[tuple[Snapshot, Selection, Snapshot | None, Selection | None]]:
    """Both windows, open; the one before only where it is compared."""
    fields = Selection.__struct_fields__
    window = Selection(**{name: getattr(query, name) for name in fields})
    before = None
    if query.compare is not None:
        before, window = with_previous(window, now_us)
    with ExitStack() as stack:
        opened_before = None if before is None else stack.enter_context(snapshot(source, before))
        yield stack.enter_context(snapshot(source, window)), window, opened_before, before


def _totals(opened: Snapshot) -> Totals:
    (row,) = opened.rows("report_totals")
    return Totals(**row)


def _errors(opened: Snapshot) -> list[ErrorRow]:
    rows = opened.rows("errors", {"limit": _MOST_ERRORS})
    fields = ErrorRow.__struct_fields__
    return [ErrorRow(**{name: row[name] for name in fields}) for row in rows]


def _slowest(opened: Snapshot) -> list[SlowRun]:
    rows = opened.rows("slowest_runs", {"limit": MOST_ROWS})
    wanted = {"request_ids": [row["request_id"] for row in rows]}
    longest = {row.pop("request_id"): row for row in opened.rows("report_longest_steps", wanted)}
    nothing = {"node": None, "node_us": None}
    return [
        SlowRun(
            request_id=row["request_id"],
            workflow=row["workflow"],
            status=row["status"],
            duration_us=row["duration_us"],
            opened_at_us=_us(row["opened_at"]),
            **longest.get(row["request_id"], nothing),
        )
        for row in rows
    ]


def _us(at: datetime | None) -> int | None:
    return None if at is None else (at - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _timeline(opened: Snapshot, totals: Totals, window: Selection) -> Timeline:
    """From the first run, or where the window begins, to the last, or where it ends."""
    since = totals.first_at_us if window.since is None else window.since
    until = totals.last_at_us if window.until is None else window.until - 1
    if since is None or until is None:
        return Timeline(_BUCKET_LENGTHS_S[0], [])
    long_enough = (each for each in _BUCKET_LENGTHS_S if (until - since) / _BUCKETS <= each * 1e6)
    bucket_s = next(long_enough, _BUCKET_LENGTHS_S[-1])
    bucket_us = bucket_s * 1_000_000
    if until - since > _BUCKETS * bucket_us and totals.first_at_us is not None:
        since = max(since, totals.first_at_us)  # a window since 1970 shows nothing for decades
    start = since // bucket_us * bucket_us
    found = {
        row.pop("bucket"): row
        for row in opened.rows("report_timeline", {"since_us": start, "bucket_us": bucket_us})
    }
    count = min((until - start) // bucket_us + 1, _MOST_BUCKETS)
    moments = [
        Moment(at_us=start + number * bucket_us, **found.get(number, {})) for number in range(count)
    ]
    return Timeline(bucket_s, moments)
