"""Commands that run workflows and record them: `run` and `rerun`."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli import options
from cli.output import note, out, show, write_json
from cli.signals import ended_like_ctrl_c
from cli.text import plain

if TYPE_CHECKING:
    from recorder.bootstrap import Recorder
    from recorder.documents import Mode
    from recorder.events import WireEvent
    from recorder.runner import WorkflowRun

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("run")(run)
    app.command("rerun")(rerun)


def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A workflow id, workflows/owner/name, or the URL of a stream endpoint.",
        ),
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="VALUE",
            help="key=value (repeatable; the value is JSON where it reads as JSON), @file.json, "
            "@- for stdin, or a JSON object.",
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """Run a workflow and record it.

    Progress goes to stderr, the run's summary to stdout. Exits with 0 if the run completed, 1 if it
    failed, was interrupted or refused, 130 after Ctrl-C (the run is then closed as client_gone).
    """
    body = options.request_body(input or [])
    with options.open_recorder(db) as recorder, ended_like_ctrl_c():
        return _run(recorder, target, body, as_json=as_json)


def rerun(
    request_id: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's request id, or one of its steps'.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a field of the input (repeatable); the value is JSON where it reads as JSON. "
            "a.b is a field of an object, a.0 a place of a list.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Run this instead, as with recorder run; else the run's own workflow.",
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """Run a recorded run's workflow again with the same input, and record it as its child.

    Shows and exits like recorder run. A run that went through the queue is started for its stream.
    """
    from cli.commands.listing import find

    wanted = options.changes(changes or [])
    with options.open_recorder(db) as recorder, ended_like_ctrl_c():
        run = find(recorder, request_id)
        again = recorder.again(run.request_id, wanted)
        if run.mode == "queue":
            note("recorder: it went through the queue; started for its stream")
        mode = "stream" if target is not None else again.mode
        return _run(
            recorder,
            target or again.workflow,
            again.body,
            mode=mode,
            parent=again.parent,
            as_json=as_json,
        )


def _run(
    recorder: Recorder,
    target: str,
    body: bytes,
    *,
    as_json: bool,
    mode: Mode = "stream",
    parent: str | None = None,
) -> int:
    from recorder.sources.http import new_client

    with new_client() as client:
        going = recorder.workflow_run(target, body, client, mode=mode, parent=parent)
        try:
            _watch(going, _shown_target(target))
        except KeyboardInterrupt:
            return _left(going)
    return _summary(recorder, _durable(going), as_json=as_json)


def _watch(going: WorkflowRun, title: str) -> None:
    """Shows the run while it lasts."""
    from cli.live import reporter

    with reporter(title) as shown, _closing(going) as events:
        for event in events:
            shown.event(event)


@contextlib.contextmanager
def _closing(going: WorkflowRun) -> Iterator[Iterator[WireEvent]]:
    """The run's events; leaving early closes the recording now, not when memory is tidied."""
    events = cast("Generator[WireEvent, None, None]", iter(going))
    try:
        yield events
    finally:
        events.close()
        going.recording.close("client_gone")  # does nothing where it is closed already


def _left(going: WorkflowRun) -> int:
    if going.recording.request_id is None:
        note("recorder: interrupted before an answer came; nothing was recorded")
    else:
        request_id = _durable(going)
        note(f"recorder: interrupted; run {plain(request_id)} is closed as client_gone")
    return INTERRUPTED


def _durable(going: WorkflowRun) -> str:
    going.recording.wait()
    request_id = going.recording.request_id
    assert request_id is not None
    return request_id


def _summary(recorder: Recorder, request_id: str, *, as_json: bool) -> int:
    from cli.commands.listing import ends
    from cli.render import run_view

    state = recorder.run(request_id)
    if as_json:
        from cli.documents import run_document

        write_json(run_document(state))
    else:
        opened, output = ends(recorder.events(request_id))
        show(*run_view(state, width=out().width, opened=opened, output=output))
    return 0 if state.status == "completed" else 1


def _shown_target(target: str) -> str:
    from recorder import redaction

    return redaction.url(target)
