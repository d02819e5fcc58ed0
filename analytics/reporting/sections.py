"""The sections of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analytics.comparing.changes import Change, ChangesReport
from analytics.comparing.compare import CompareReport
from analytics.comparing.evidence import Verdict
from analytics.comparing.measures import GroupChange, MeasureChange, RateChange
from analytics.latency import Measure
from analytics.reporting import view
from analytics.reporting.composing import Report
from analytics.reporting.view import Cell, Chart, Grid, Link, Section, Series
from analytics.selection import Selection
from recorder.words import UNKNOWN, count, moment

PERCENTILES: Final = "Percentiles"
_LONGEST_BARS: Final = 12
_VERDICTS: Final = (
    "Verdicts are corrected for all {tests} (Holm): in at most 5 % of such reports is one of them chance. "
    "No evidence is not evidence of no change. Where no percentile by itself is known to have moved but all "
    "values together are, it says all, with the change of the first percentile."
)


def sections(report: Report, link: Link) -> list[Section]:
    """All of them in order; what was not asked for is left out."""
    every = [_throughput(report), _percentiles(report), _errors(report, link), _time(report)]
    if report.compare is not None:
        every.append(compared(report.compare, link))
    return [*every, changed(report.changes, link), _slowest(report, link)]


def _throughput(report: Report) -> Section:
    moments = report.timeline.moments
    labels = [moment(each.at_us)[:-3] for each in moments]
    runs = Chart(
        "Runs by when they began",
        "stack",
        labels,
        [
            Series("completed", [each.completed for each in moments]),
            Series("failed", [each.failed for each in moments]),
            Series("other", [each.runs - each.completed - each.failed for each in moments]),
        ],
        in_us=False,
    )
    took = Chart(
        "How long completed runs took",
        "lines",
        labels,
        [
            Series("median", [each.p50_us for each in moments]),
            Series("95th percentile", [each.p95_us for each in moments]),
        ],
        in_us=True,
    )
    rows = [
        [
            view.text(label),
            *(view.number(value) for value in (each.runs, each.completed, each.failed)),
            view.time(each.p50_us),
            view.time(each.p95_us),
        ]
        for label, each in zip(labels, moments, strict=True)
    ]
    columns = ["began (UTC)", "runs", "completed", "failed", "p50", "p95"]
    table = view.grid(f"Every {_length(report.timeline.bucket_s)}", columns, rows)
    charts = [runs, took] if moments else []
    notes = [] if moments else ["There were no runs."]
    return Section("Throughput", notes, [table] if rows else [], charts, drawn=bool(rows))


def _length(bucket_s: int) -> str:
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if bucket_s % seconds == 0:
            return unit if bucket_s == seconds else f"{bucket_s // seconds} {unit}s"
    return "second" if bucket_s == 1 else f"{bucket_s} seconds"


def _percentiles(report: Report) -> Section:
    runs = [
        [view.name(row.workflow), *(_measured(what, measure))]
        for row in report.latency.runs
        for what, measure in (("duration", row.duration), ("first event", row.first_event))
    ]
    steps = [
        [
            view.name(row.workflow),
            view.name(row.node),
            view.name(row.app),
            *_measured(what, measure),
        ]
        for row in report.latency.steps
        for what, measure in (
            ("duration", row.duration),
            ("inference", row.inference),
            ("overhead", row.overhead),
        )
        if measure.count
    ]
    numbers = ["measure", "n", "p50", "p90", "p95", "p99", "max"]
    grids = [
        view.grid("Whole runs that completed", ["workflow", *numbers], runs),
        view.grid("Steps that completed", ["workflow", "node", "app", *numbers], steps),
    ]
    notes = ["Exact, interpolated between neighbouring values; of completed runs and steps only."]
    return Section(PERCENTILES, notes, [each for each in grids if each.rows])


def _measured(what: str, measure: Measure) -> list[Cell]:
    values = (measure.p50_us, measure.p90_us, measure.p95_us, measure.p99_us, measure.max_us)
    return [view.text(what), view.number(measure.count), *(view.time(value) for value in values)]


def _errors(report: Report, link: Link) -> Section:
    captions = (("runs", "Runs that failed"), ("steps", "Steps that failed"))
    grids = [_errors_of(report, of, caption, link) for of, caption in captions]
    grids = [each for each in grids if each.rows]
    notes = ["A failed step usually fails its run as well."] if grids else ["Nothing failed."]
    return Section("Errors", notes, grids)


def _errors_of(report: Report, of: str, caption: str, link: Link) -> Grid:
    rows = [
        [
            view.name(row.kind),
            *([view.name(row.app)] if of == "steps" else []),
            view.name(row.field),
            view.number(row.failures),
            view.figure(view.share(row.share)),
            view.run(row.request_id, link),
            view.message(row.message),
        ]
        for row in report.errors
        if row.of == of
    ]
    apps = ["app"] if of == "steps" else []
    columns = ["kind", *apps, "field", "failures", f"of all {of}", "last run", "its message"]
    return view.grid(caption, columns, rows)


def _time(report: Report) -> Section:
    rows = [
        [
            view.name(row.workflow),
            view.name(row.node),
            view.number(row.steps),
            view.time(row.duration_us),
            view.figure(view.share(row.share)),
            view.time(row.inference_us),
            view.time(row.overhead_us),
            view.time(row.duration_us / row.steps),
        ]
        for row in report.nodes
    ]
    columns = ["workflow", "node", "steps", "time", "share", "inference", "overhead", "mean"]
    longest = report.nodes[:_LONGEST_BARS]
    known = [row.inference_us + max(0, row.overhead_us) for row in longest]
    chart = Chart(
        "Where the time of steps goes",
        "bars",
        [view.name(row.node).text for row in longest],
        [
            Series("inference", [row.inference_us for row in longest]),
            Series("overhead", [max(0, row.overhead_us) for row in longest]),
            Series(
                "not told",
                [max(0, row.duration_us - told) for row, told in zip(longest, known, strict=True)],
            ),
        ],
        in_us=True,
    )
    table = view.grid("Nodes by the time their completed steps took", columns, rows)
    if not rows:
        return Section("Where the time goes", ["No step completed."])
    return Section("Where the time goes", [], [table], [chart])


def compared(report: CompareReport, link: Link) -> Section:
    """What got better or worse from one side to the other."""
    a, b = report.query.a, report.query.b
    groups = [*report.runs, *report.steps]
    worse, better = (list(_verdicts(groups, each, link)) for each in ("worse", "better"))
    columns = [
        "workflow",
        "node",
        "measure",
        "what",
        "before",
        "after",
        "change",
        "",
        "95 % interval",
    ]
    columns += ["verdict", "a run that shows it"]
    notes = [
        f"Before: {_selected(a)}. After: {_selected(b)}.",
        _VERDICTS.format(tests=count(report.tests, "test")),
    ]
    if not worse and not better:
        notes.append("Nothing is known to have got better or worse.")
    grids = [
        view.grid(caption, columns, rows)
        for caption, rows in (("Got worse", worse), ("Got better", better))
        if rows
    ]
    return Section("What got better or worse", notes, [*grids, *_unproven(groups)])


def _selected(side: Selection) -> str:
    """A side in words."""
    names = ("workflow", "node", "app", "status", "definition")
    given = [(each, getattr(side, each)) for each in names]
    words = [f"{each} {view.name(value).text}" for each, value in given if value is not None]
    if side.since is not None:
        words.append(f"from {moment(side.since)}")
    if side.until is not None:
        words.append(f"before {moment(side.until)}")
    return ", ".join(words) or "everything"


def _verdicts(groups: list[GroupChange], verdict: Verdict, link: Link) -> Iterator[list[Cell]]:
    for group in groups:
        for measure, change in group.measures.items():
            yield from _verdicts_of(group, measure, change, verdict, link)
        if group.failures.verdict == verdict:
            yield [*_names(group), view.text("failures"), *_rate(group.failures), view.text("")]


def _verdicts_of(
    group: GroupChange, measure: str, change: MeasureChange, verdict: Verdict, link: Link
) -> Iterator[list[Cell]]:
    found = [
        (f"p{each.percentile:g}", each) for each in change.percentiles if each.verdict == verdict
    ]
    if not found and change.shift.verdict == verdict:
        found = [(f"all, p{each.percentile:g}", each) for each in change.percentiles[:1]]
    drivers = iter(change.drivers)
    for what, each in found:
        driver = next(drivers, None)
        yield [
            *_names(group),
            view.text(measure),
            view.text(what),
            view.time(each.a_us),
            view.time(each.b_us),
            view.figure(view.signed_us(each.change_us), tone=_tone(verdict)),
            view.figure(view.signed_percent(each.change_percent), tone=_tone(verdict)),
            view.figure(view.interval_us(each.low_us, each.high_us)),
            view.verdict(verdict),
            view.text("") if driver is None else view.run(driver.request_id, link),
        ]


def _rate(change: RateChange) -> list[Cell]:
    tone = _tone(change.verdict)
    limits = (change.low_points, change.high_points)
    low, high = (UNKNOWN if each is None else f"{each:+.2f}".replace("-", "−") for each in limits)
    return [
        view.text("rate"),
        view.figure(view.share(change.a_failed / change.a_ended if change.a_ended else None)),
        view.figure(view.share(change.b_failed / change.b_ended if change.b_ended else None)),
        view.figure(f"{change.change_points or 0:+.2f} points".replace("-", "−"), tone=tone),
        view.text(""),
        view.figure(f"{low} … {high} points"),
        view.verdict(change.verdict),
    ]


def _unproven(groups: list[GroupChange]) -> list[Grid]:
    """The medians of durations nothing is known to have happened to, with how far they may have moved."""
    rows = [
        [
            *_names(group),
            view.number(change.a_count),
            view.number(change.b_count),
            view.time(change.percentiles[0].a_us),
            view.time(change.percentiles[0].b_us),
            view.figure(view.signed_percent(change.percentiles[0].change_percent)),
            view.figure(
                view.interval_us(change.percentiles[0].low_us, change.percentiles[0].high_us)
            ),
        ]
        for group in groups
        if (change := group.measures.get("duration")) is not None
        and change.verdict == "no evidence"
    ]
    columns = ["workflow", "node", "n before", "n after", "p50 before", "p50 after", "change"]
    table = view.grid("No evidence of a change of duration", [*columns, "95 % interval"], rows)
    return [table] if rows else []


def _names(group: GroupChange) -> list[Cell]:
    return [view.name(group.workflow), view.name(group.node, otherwise="whole runs")]


def _tone(verdict: Verdict) -> view.Tone:
    return "quiet" if verdict == "no evidence" else verdict


def changed(report: ChangesReport, link: Link) -> Section:
    """Where levels changed over time."""
    rows = [_change(change, link) for change in report.changes]
    first = f"p{report.query.percentiles[0]:g}"
    columns = ["at (UTC)", "workflow", "node", f"{first} before", f"{first} after", "change", ""]
    columns += ["95 % interval", "n before", "n after", "verdict", "a run that shows it"]
    notes = [f"{report.series:,} series looked through for a level that changed and stayed so."]
    if report.too_short:
        notes.append(f"{report.too_short:,} more have too few values to tell.")
    if not rows:
        return Section("Changes over time", [*notes, "None is known to have changed."])
    return Section(
        "Changes over time", notes, [view.grid(f"Changes of {report.query.measure}", columns, rows)]
    )


def _change(change: Change, link: Link) -> list[Cell]:
    at = change.percentiles[0]
    return [
        view.text(moment(change.at)[:-3]),
        view.name(change.workflow),
        view.name(change.node, otherwise="whole runs"),
        view.time(at.before_us),
        view.time(at.after_us),
        view.figure(view.signed_us(at.change_us), tone=_tone(change.verdict)),
        view.figure(view.signed_percent(at.change_percent), tone=_tone(change.verdict)),
        view.figure(view.interval_us(at.low_us, at.high_us)),
        view.number(change.before_count),
        view.number(change.after_count),
        view.verdict(change.verdict),
        *(view.run(driver.request_id, link) for driver in change.drivers[:1]),
        *([] if change.drivers else [view.text("")]),
    ]


def _slowest(report: Report, link: Link) -> Section:
    rows = [
        [
            view.run(row.request_id, link),
            view.name(row.workflow),
            view.text(row.status),
            view.text(moment(row.opened_at_us)),
            view.time(row.duration_us),
            view.name(row.node),
            view.time(row.node_us),
        ]
        for row in report.slowest
    ]
    columns = ["run", "workflow", "status", "opened (UTC)", "took", "longest step", "which took"]
    table = view.grid("The runs that took longest", columns, rows)
    return Section("Slowest runs", [] if rows else ["There were no runs."], [table] if rows else [])
