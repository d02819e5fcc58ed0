"""A report in a sentence or two."""

from __future__ import annotations

from collections.abc import Iterator

from analytics.comparing.compare import CompareReport
from analytics.comparing.evidence import Verdict
from analytics.comparing.measures import GroupChange, PercentileChange
from analytics.reporting.composing import Report, Totals
from analytics.reporting.view import share, signed_percent, us
from recorder.words import count, moment, plain

_NAME_CHARACTERS = 48


def summary(report: Report) -> list[str]:
    """What happened, how it went, and what changed most; without anything, that."""
    if not report.totals.runs:
        return [f"No run was recorded {window(report)}.", *_changed(report)]
    return [_happened(report), *_changed(report)]


def window(report: Report) -> str:
    """The window in words: its ends where they were asked for, else those of the runs."""
    since, until = report.window.since, report.window.until
    if since is None and until is None:
        first, last = report.totals.first_at_us, report.totals.last_at_us
        return "so far" if first is None else f"from {moment(first)} to {moment(last)} UTC"
    if since is None:
        return f"before {moment(until)} UTC"
    return (
        f"since {moment(since)} UTC"
        if until is None
        else f"from {moment(since)} to {moment(until)} UTC"
    )


def _happened(report: Report) -> str:
    totals = report.totals
    parts = [f"{count(totals.runs, 'run')} {window(report)}"]
    if totals.success_rate is not None:
        parts.append(f"{share(totals.success_rate)} succeeded")
    if totals.p50_us is not None:
        parts.append(f"half took {us(totals.p50_us)} or less, 95 % {us(totals.p95_us)} or less")
    return "; ".join(parts) + "."


def _changed(report: Report) -> Iterator[str]:
    if report.totals_before is not None:
        yield _before(report.totals_before)
    if report.compare is not None:
        yield _biggest(report.compare)
    if report.changes.changes:
        latest = max(report.changes.changes, key=lambda change: change.at)
        what = _name(latest.workflow, latest.node)
        yield (
            f"{count(len(report.changes.changes), 'change')} of level over time, the latest at "
            f"{moment(latest.at)} UTC: {what} became {_slower(latest.verdict)}."
        )


def _before(totals: Totals) -> str:
    if not totals.runs:
        return "The window before had no runs to compare with."
    rate = share(totals.success_rate)
    return (
        f"The window before had {count(totals.runs, 'run')}; {rate} succeeded; half took "
        f"{us(totals.p50_us)} or less, 95 % {us(totals.p95_us)} or less."
    )


def _biggest(compared: CompareReport) -> str:
    found = list(_found(compared))
    if not found:
        return (
            f"Nothing is known to have become slower or faster ({count(compared.tests, 'test')})."
        )
    group, verdict, change = max(found, key=lambda each: abs(each[2].change_percent or 0))
    more = "" if len(found) == 1 else f", and {len(found) - 1} more"
    return (
        f"The biggest change: {_name(group.workflow, group.node)} became {_slower(verdict)}, "
        f"p{change.percentile:g} {signed_percent(change.change_percent)} "
        f"({us(change.a_us)} → {us(change.b_us)}){more}."
    )


def _found(compared: CompareReport) -> Iterator[tuple[GroupChange, Verdict, PercentileChange]]:
    """Of every duration that changed the first percentile that did, else the first one."""
    for group in (*compared.runs, *compared.steps):
        measure = group.measures.get("duration")
        if measure is not None and measure.verdict != "no evidence":
            changed = (each for each in measure.percentiles if each.verdict == measure.verdict)
            yield group, measure.verdict, next(changed, measure.percentiles[0])


def _name(workflow: str | None, node: str | None) -> str:
    of = plain(workflow or "", _NAME_CHARACTERS).removeprefix("workflows/")
    return f"runs of {of}" if node is None else f"{plain(node, _NAME_CHARACTERS)} of {of}"


def _slower(verdict: Verdict) -> str:
    return "slower" if verdict == "worse" else "faster"
