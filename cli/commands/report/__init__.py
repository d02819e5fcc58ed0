"""`recorder report`: the composed report, and single questions below it."""

from __future__ import annotations

import typer

from cli.commands.report import comparing, composed


def register(app: typer.Typer) -> None:
    """Adds the command and what is below it."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(composed.report)
    comparing.register(group)
    app.add_typer(group, name="report")
