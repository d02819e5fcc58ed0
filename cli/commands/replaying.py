"""Commands that look at runs again: `replay` and `diff`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import options
from cli.errors import CliError
from cli.output import out, show, write_bytes, write_json
from cli.signals import ended_like_ctrl_c

if TYPE_CHECKING:
    from recorder.bootstrap import Recorder
    from recorder.events import LoggedEvent
    from recorder.projections.runs import Run
    from recorder.replay import Pace

_MAX_GAP_S: Final = 86_400


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("replay")(replay)
    app.command("diff")(diff)


def replay(
    *,
    request_id: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's request id, or one of its steps'.")
    ],
    speed: Annotated[
        str,
        typer.Option(
            "--speed",
            metavar="N",
            help="1 for the original rhythm, 2 for twice as fast; max for as fast as it goes.",
        ),
    ] = "1",
    max_gap: Annotated[
        float | None,
        typer.Option("--max-gap", metavar="S", help="Cut longer waits to so many seconds."),
    ] = None,
    from_seq: Annotated[
        int, typer.Option("--from-seq", min=0, metavar="N", help="Begin with this event.")
    ] = 0,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the exact bytes of the body to stdout.")
    ] = False,
    db: options.Db = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line, one for each event.")
    ] = False,
) -> None:
    """Play a run again as it was: same events, same rhythm. One that still goes on is followed.

    Progress goes to stderr and the run's summary to stdout, as when it ran.
    """
    from cli.commands.listing import find
    from cli.playing import in_rhythm

    if raw and as_json:
        raise CliError("--raw and --json are two forms; give one")
    pace = _pace(speed, max_gap)
    with options.open_recorder(db) as recorder, ended_like_ctrl_c():
        run = find(recorder, request_id)
        # One event more: the first wait counts from it.
        events = recorder.follow_run(run.request_id, after_seq=max(-1, from_seq - 2))
        played = in_rhythm(events, pace, from_seq=from_seq)
        if raw:
            _write_raw(played)
        elif as_json:
            _write_events(played)
        else:
            _show(recorder, run, played, pace.speed)


def _pace(speed: str, max_gap_s: float | None) -> Pace:
    from recorder.replay import Pace, read_speed

    if max_gap_s is None:
        return Pace(read_speed(speed))
    if not 0 <= max_gap_s <= _MAX_GAP_S:  # false for NaN as well
        raise CliError(f"--max-gap: is from 0 to {_MAX_GAP_S:,} seconds")
    return Pace(read_speed(speed), round(max_gap_s * 1_000_000))


def _write_raw(played: Iterator[LoggedEvent]) -> None:
    from recorder.replay import raw

    for logged in played:
        try:
            data = raw(logged)
        except LookupError as error:
            raise CliError(f"the body breaks off here: {error.args[0]}", 1) from None
        if data:
            write_bytes(data)


def _write_events(played: Iterator[LoggedEvent]) -> None:
    from cli.documents import event_document

    for logged in played:
        write_json(event_document(logged), indent=None)


def _show(recorder: Recorder, run: Run, played: Iterator[LoggedEvent], speed: float | None) -> None:
    from cli.commands.listing import ends
    from cli.live import reporter
    from cli.playing import RunClock
    from cli.render import run_view
    from recorder.events import WireEvent

    clock = RunClock(speed)
    with reporter(run.workflow, doing="replaying", clock=clock) as shown:
        for logged in played:
            clock.reach(logged.elapsed_us)
            if isinstance(logged.event, WireEvent):
                shown.event(logged.event)
    opened, output = ends(recorder.events(run.request_id))
    now = recorder.run(run.request_id)
    show(*run_view(now, width=out().width, opened=opened, output=output))


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The run to compare with.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The run to compare.")],
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Show two runs side by side: outcome, durations, and what went in and came out differently."""
    from cli.commands.listing import find

    with options.open_recorder(db) as recorder:
        first, second = (find(recorder, given).request_id for given in (a, b))
        compared = recorder.compare(first, second)
    if as_json:
        from cli.documents import comparison_document

        write_json(comparison_document(compared))
        return
    from cli.comparing import comparison_view

    show(*comparison_view(compared, width=out().width))
