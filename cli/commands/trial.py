"""The `demo` command."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.signals import ended_like_ctrl_c


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the checks instead of serving on.")
    ] = False,
    number: Annotated[
        int, typer.Option("--runs", min=8, max=10_000, metavar="N", help="How many runs to record.")
    ] = 48,
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
    from cli.demo.story import demo as play  # loads the emulator, the service and DuckDB

    with ended_like_ctrl_c():
        return play(db=db, port=port, number=number, stay=not leave)
