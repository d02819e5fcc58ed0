"""`recorder report`: the composed report, and below it a command for every question."""

from __future__ import annotations

import typer

from cli.commands.report import comparing, composed
from cli.commands.report.single import Questions


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    report = typer.Typer(cls=Questions, invoke_without_command=True)
    report.callback()(composed.report)
    comparing.register(report)
    app.add_typer(report, name="report", subcommand_metavar="[QUESTION] [ARGS]...")
