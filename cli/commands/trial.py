"""The `demo` command."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from cli import options
from cli.errors import CliError
from cli.signals import ended_like_ctrl_c

_HOUR_US: Final = 3_600_000_000


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(  # noqa: PLR0917  # typer passes by name
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the checks instead of serving on.")
    ] = False,
    number: Annotated[
        int, typer.Option("--runs", min=8, max=10_000, metavar="N", help="How many runs to record.")
    ] = 48,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="TIME",
            help="Write made-up runs since then instead, as if they had been recorded: 30d, 12h.",
        ),
    ] = None,
    runs_per_day: Annotated[
        float,
        typer.Option(
            "--runs-per-day", min=1, max=1e6, metavar="N", help="Of the history, on average."
        ),
    ] = 500,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="For another history of the kind.")
    ] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="PORT",
            help="The service's port; else 8765 or a free one.",
        ),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", metavar="URL", help="Record here; else in a temporary folder."),
    ] = None,
) -> int:
    """Show everything at once, against a local emulator: no key, no network, no database of yours.

    Exits with 0 only if every run was recorded byte for byte and the log holds together.
    """
    with ended_like_ctrl_c():
        if history is not None:
            return _with_history(history, runs_per_day, seed, db=db, port=port, stay=not leave)
        from cli.demo.story import demo as play  # loads the emulator, the service and DuckDB

        return play(db=db, port=port, number=number, stay=not leave)


def _with_history(
    given: str, runs_per_day: float, seed: int, *, db: str | None, port: int | None, stay: bool
) -> int:
    from cli.demo.history import History  # loads SQLAlchemy
    from cli.demo.past import demo_with_history  # loads the service and DuckDB

    since, now = options.moment_us(given, "--history"), time.time_ns() // 1_000
    assert since is not None
    history = History(since=since, until=now, runs_per_day=runs_per_day, seed=seed)
    if history.window[1] - history.window[0] < _HOUR_US:
        raise CliError("--history: give an hour at least, such as 30d or 12h")
    return demo_with_history(db=db, port=port, history=history, stay=stay)
