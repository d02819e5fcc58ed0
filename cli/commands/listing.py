"""Commands that show what was recorded: `runs` and `show`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.output import note, out, show, write_json
from cli.text import count, plain

if TYPE_CHECKING:
    from recorder.bootstrap import Recorder
    from recorder.events import LoggedEvent, Opened
    from recorder.projections.runs import Run
    from recorder.store.views import Page


class Status(StrEnum):
    """The statuses of a run."""

    running = "running"
    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"
    cancelled = "cancelled"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("runs")(list_runs)
    app.command("show")(show_run)


def list_runs(
    *,
    workflow: options.Workflow = None,
    app: options.App = None,
    status: Annotated[
        Status | None, typer.Option("--status", help="Only runs in this state.")
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    any_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The run of this request id, its own or a step's."),
    ] = None,
    anomaly: Annotated[
        str | None,
        typer.Option("--anomaly", metavar="NAME", help="Only runs that show this anomaly."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Runs a page, 1 to 1000.")] = 20,
    before: Annotated[
        int | None,
        typer.Option(
            "--before", "--cursor", metavar="N", help="The next page: next_before of the last one."
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first."""
    from recorder.store.views import RunFilter

    wanted = RunFilter(
        workflow=workflow,
        app=app,
        status=status.value if status else None,
        since=options.moment_us(since, "--since"),
        until=options.moment_us(until, "--until"),
        any_id=any_id,
        anomaly=anomaly,
    )
    with options.open_recorder(db) as recorder:
        page = recorder.runs(wanted, limit=limit, before=before)
    if as_json:
        from cli.documents import page_document

        write_json(page_document(page))
    else:
        _show_page(page)


def _show_page(page: Page) -> None:
    from cli.render import runs_table

    if not page.runs:
        note("recorder: no runs match")
        return
    show(runs_table(page.runs, width=out().width))
    if page.next_before is not None:
        note(f"{count(len(page.runs), 'run')}; more: --before {page.next_before}")


def show_run(
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST_ID", help="A run's request id, or one of its steps'.")
    ],
    with_events: Annotated[
        bool, typer.Option("--events", help="Show the run's events as well.")
    ] = False,
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Show a run: its steps with a timing bar each, its input, output and failures."""
    with options.open_recorder(db) as recorder:
        run = find(recorder, request_id)
        events = list(recorder.events(run.request_id))
    if as_json:
        from cli.documents import event_document, run_document

        document = run_document(run)
        if with_events:
            document = {"run": document, "events": [event_document(event) for event in events]}
        write_json(document)
        return
    if run.request_id != request_id:
        note(f"{plain(request_id)} is a step of run {plain(run.request_id)}")
    _show_run(run, events, with_events=with_events)


def find(recorder: Recorder, request_id: str) -> Run:
    """The run of this request id, or the newest with a step of this request id.

    Raises:
        RunNotFound: Neither is there.
    """
    from recorder.errors import RunNotFound
    from recorder.store.views import RunFilter

    try:
        return recorder.run(request_id)
    except RunNotFound:
        page = recorder.runs(RunFilter(any_id=request_id), limit=1)
        if not page.runs:
            raise
        return page.runs[0]


def _show_run(run: Run, events: list[LoggedEvent], *, with_events: bool) -> None:
    from cli.render import events_table, run_view

    width = out().width
    opened, output = ends(events)
    show(*run_view(run, width=width, opened=opened, output=output))
    if with_events:
        show("", events_table(events, width=width))


def ends(events: Iterable[LoggedEvent]) -> tuple[Opened | None, bytes | None]:
    """How a run was opened, and the JSON text of its output."""
    from recorder.comparison import result_part
    from recorder.documents import beginning_in

    opened: Opened | None = None
    output: bytes | None = None
    for logged in events:
        event = logged.event
        if logged.frame is not None:
            opened = beginning_in(event) or opened
        if (part := result_part(logged)) is not None:
            output = part
    return opened, output
