"""The demo: an emulator, a log, the service, some dozens of runs, and a look at each part."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import httpx
import msgspec
from rich.console import RenderableType
from rich.text import Text

from analytics.latency import LatencyQuery, latency
from api.server import ApiServer
from cli import content, options, text
from cli.commands.listing import ends
from cli.demo.plan import POSTER, STICKER, emulator_settings, plan
from cli.demo.recording import AT_A_TIME, Done, record_all, same_bytes
from cli.demo.stage import free_port, heading, serve_on, tell, temporary_database
from cli.output import out, progress_bar, show
from cli.render import events_table, run_view, runs_table
from cli.reporting import report_view
from cli.text import count, plain
from emulator.server import EmulatorServer
from recorder.bootstrap import Recorder
from recorder.projections.runs import Run

_STICKERS: Final = 6


class Checks(msgspec.Struct):
    """What did not go as planned; empty if all did."""

    failed: list[str] = []

    def that(self, holds: bool, otherwise: str) -> None:
        """Notes a failure unless the condition holds."""
        if not holds:
            self.failed.append(otherwise)


def demo(*, db: str | None, port: int | None, number: int, stay: bool) -> int:
    """Plays the demo; returns the exit code, 0 only if every check held.

    Args:
        db: Where to record; None for a temporary folder, which is kept only if `stay`.
        port: The service's port; None for 8765 where it is free, else any free one.
        number: How many runs.
        stay: Go on serving until interrupted.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        url = db or temporary_database(stack, keep=stay)
        recorder = stack.enter_context(options.open_recorder(url))
        emulator = stack.enter_context(EmulatorServer(emulator_settings()))
        service = stack.enter_context(ApiServer(recorder, port=free_port(port)))
        _introduce(recorder, emulator.url, service.url)
        checks = Checks()
        done = _record(recorder, emulator.url, number)
        runs = {one.request_id: recorder.run(one.request_id) for one in done}
        _show_runs(recorder, runs)
        _prove(recorder, done, runs, checks)
        _ask_service(service.url, done, checks)
        _sum_up(done, runs, checks, began)
        if stay:
            _stay(recorder, service.url, done, runs)
    return 1 if checks.failed else 0


def _introduce(recorder: Recorder, emulator_url: str, service_url: str) -> None:
    for name, value in (
        ("emulator", f"{emulator_url}  (speaks fal's protocol, needs no key)"),
        ("database", options.where(recorder)),
        ("service", service_url),
    ):
        tell(name, value)


def _record(recorder: Recorder, emulator_url: str, number: int) -> list[Done]:
    planned = plan(number)
    began = time.monotonic()
    with progress_bar(f"recording, {AT_A_TIME} at a time", number) as progress:
        done = record_all(recorder, emulator_url, planned, progress)
    took_us = round((time.monotonic() - began) * 1_000_000)
    received = sum(one.body_bytes for one in done)
    said = f"{count(number, 'run')}, {AT_A_TIME} at a time, {text.size(received)}"
    out().print(Text.assemble(("recorded  ", "dim"), f"{said} in {text.duration(took_us)}"))
    return done


def _show_runs(recorder: Recorder, runs: dict[str, Run]) -> None:
    width = out().width
    show(*heading("Recent runs"), runs_table(recorder.runs(limit=12).runs, width=width))
    parallel = _longest(runs, POSTER)
    show(*heading("One run, step by step (parallel branches)"), *_view(recorder, parallel, width))
    serial = _longest(runs, STICKER)
    show(*heading("A three-step run, and what its stream said"), *_view(recorder, serial, width))
    show("", events_table(list(recorder.events(serial.request_id)), width=width))
    failed = next(run for run in runs.values() if run.status == "failed" and run.steps)
    show(*heading("One that failed"), *_view(recorder, failed, width))
    recorder.projector.catch_up()
    found = latency(recorder.database, LatencyQuery())
    show(*heading("Latency, exact percentiles"), *report_view(found, width=width))


def _longest(runs: dict[str, Run], workflow: str) -> Run:
    completed = (r for r in runs.values() if r.status == "completed" and r.workflow == workflow)
    return max(completed, key=lambda run: run.duration_us or 0)


def _view(recorder: Recorder, run: Run, width: int) -> list[RenderableType]:
    opened, output = ends(recorder.events(run.request_id))
    return run_view(run, width=width, opened=opened, output=output)


def _prove(recorder: Recorder, done: Sequence[Done], runs: dict[str, Run], checks: Checks) -> None:
    verdict = recorder.verify()
    same = sum(same_bytes(recorder, one) for one in done)
    rebuilt = recorder.rebuild()
    as_planned = sum(runs[one.request_id].status == one.planned.expected for one in done)
    checks.that(len(runs) == len(done), f"{len(runs)} of {len(done)} runs are in the log")
    checks.that(as_planned == len(done), f"{len(done) - as_planned} runs ended unexpectedly")
    checks.that(same == len(done), f"{len(done) - same} streams differ from what was received")
    checks.that(verdict.intact, f"the chain is broken at position {verdict.broken_at}")
    checks.that(rebuilt.differences == 0, f"a rebuild told {rebuilt.differences} runs differently")
    show(*heading("Proof"))
    chain = f"{'intact' if verdict.intact else 'BROKEN'} over {count(verdict.position, 'event')}"
    for name, value in (
        ("chain", f"{chain}, ends in {verdict.chain.hex()[:16]}…"),
        ("bytes", f"{same} of {count(len(done), 'stream')} in the log are what the socket gave"),
        ("rebuild", f"{count(rebuilt.differences, 'run')} differ after folding the log anew"),
        ("outcomes", f"{as_planned} of {count(len(done), 'run')} ended as the emulator was told"),
    ):
        tell(name, value)


def _ask_service(service_url: str, done: Sequence[Done], checks: Checks) -> None:
    show(*heading("The same over HTTP"))
    last = done[-1].request_id
    with httpx.Client(base_url=f"{service_url}/api/v1", timeout=30) as client:
        for path in ("/runs?limit=5", f"/runs/{last}", "/latency"):
            answer = client.get(path)
            checks.that(answer.status_code == 200, f"GET {path} answered {answer.status_code}")
            out().print(
                Text.assemble(
                    (f"{answer.status_code}  ", "green" if answer.is_success else "red"),
                    f"curl -s '{answer.url}'",
                    (f"  # {text.size(len(answer.content))}", "dim"),
                ),
                soft_wrap=True,
            )


def _sum_up(done: Sequence[Done], runs: dict[str, Run], checks: Checks, began: float) -> None:
    statuses = collections.Counter(run.status for run in runs.values())
    said = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    events = sum(run.events for run in runs.values())
    received = text.size(sum(one.body_bytes for one in done))
    took = text.duration(round((time.monotonic() - began) * 1_000_000))
    verdict = "; ".join(checks.failed) or "bytes equal, chain intact, 0 differences"
    line = f"{count(len(done), 'run')} ({said}), {count(events, 'event')}, {received}: {verdict}"
    ok = not checks.failed
    mark = Text("✓ " if ok else "✗ ", style="bold green" if ok else "bold red")
    out().print("")
    out().print(mark.append(f"{line}; {took}"), soft_wrap=True)


def _stay(recorder: Recorder, service_url: str, done: Sequence[Done], runs: dict[str, Run]) -> None:
    show(*heading("Stickers, while this goes on"))
    for one in _stickers(done, runs):
        _, output = ends(recorder.events(one.request_id))
        for medium in content.media(output)[:1]:
            prompt = plain(one.planned.input.get("prompt", ""))
            out().print(
                Text.assemble((f"{prompt}\n", "dim"), f"  {medium.line(0)}"), soft_wrap=True
            )
    show("")
    serve_on(recorder, service_url)


def _stickers(done: Sequence[Done], runs: dict[str, Run]) -> list[Done]:
    completed = [one for one in done if runs[one.request_id].status == "completed"]
    return [one for one in completed if one.planned.workflow == STICKER][:_STICKERS]
