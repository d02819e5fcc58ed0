"""The demo with a past: weeks of synthetic runs written through the log, what is hidden in them, a report."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime

from analytics.latency import LatencyQuery, latency
from api.server import ApiServer
from cli import options, text
from cli.demo.history import History, Planted, Written, synthesize
from cli.demo.stage import free_port, heading, serve_on, tell, temporary_database
from cli.output import out, progress_bar, show
from cli.render import runs_table
from cli.reporting import report_view
from cli.text import count
from recorder.bootstrap import Recorder

_MINUTE_US = 60_000_000


def demo_with_history(*, db: str | None, port: int | None, history: History, stay: bool) -> int:
    """Writes a history, shows it, and serves it; returns the exit code.

    Args:
        db: Where to write; None for a temporary folder, which is kept only if `stay`.
        port: The service's port; None for 8765 where it is free, else any free one.
        history: What to write.
        stay: Go on serving until interrupted.
    """
    with ExitStack() as stack:
        url = db or temporary_database(stack, keep=stay)
        recorder = stack.enter_context(options.open_recorder(url))
        tell("database", options.where(recorder))
        written = _write(recorder, history)
        _fold(recorder)
        intact = _prove(recorder)
        show(*heading("Planted, for a report to find"))
        for line in planted_lines(written.planted):
            out().print(line, soft_wrap=True)
        width = out().width
        show(*heading("Recent runs"), runs_table(recorder.runs(limit=12).runs, width=width))
        found = latency(recorder.database, LatencyQuery())
        show(*heading("Latency, exact percentiles"), *report_view(found, width=width))
        if stay:
            service = stack.enter_context(ApiServer(recorder, port=free_port(port)))
            show("")
            serve_on(recorder, service.url)
    return 0 if intact else 1


def _write(recorder: Recorder, history: History) -> Written:
    since, until = history.window
    began = time.monotonic()
    with progress_bar("writing, by minutes of the past", (until - since) // _MINUTE_US) as progress:
        written = synthesize(
            recorder.database,
            recorder.log,
            history,
            progress=lambda at: progress((at - since) // _MINUTE_US),
        )
    tell("history", f"{_at(since)} to {_at(until)}, seed {history.seed}")
    runs, events = count(written.runs, "run"), count(written.events, "event")
    tell("written", f"{runs}, {events} through the log in {_since(began)}")
    return written


def _fold(recorder: Recorder) -> None:
    began = time.monotonic()
    with progress_bar("folding", recorder.log.head().position) as progress:
        recorder.projector.catch_up(progress=progress)
    tell("folded", f"in {_since(began)}")


def _prove(recorder: Recorder) -> bool:
    began = time.monotonic()
    with progress_bar("verifying", recorder.log.head().position) as progress:
        verdict = recorder.verify(progress=progress)
    chain = "intact" if verdict.intact else f"BROKEN at position {verdict.broken_at}"
    tell("chain", f"{chain} over {count(verdict.position, 'event')}, in {_since(began)}")
    return verdict.intact


def planted_lines(planted: Planted) -> list[str]:
    """What is planted, a line each, in order of time."""
    slow, change = planted.slowdown, planted.change
    changed = f"definition {change.before[:12]} becomes {change.after[:12]}, with a faster upscaler"
    lines = [
        f"{_at(slow.at)}  {slow.workflow}: {slow.node_id} works {slow.factor} times as long",
        f"{_at(change.at)}  {change.workflow}: {changed}",
    ]
    for burst in planted.bursts:
        failing = f"{burst.share:.0%} of {burst.node_id} answer {burst.status}"
        lines.append(f"{_at(burst.since)}  {burst.workflow}: {failing}, until {_at(burst.until)}")
    return sorted(lines)


def _at(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%MZ")


def _since(began: float) -> str:
    return text.duration(round((time.monotonic() - began) * 1_000_000))
