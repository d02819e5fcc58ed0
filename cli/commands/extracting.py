"""The `extract` command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import options
from cli.commands.listing import Status
from cli.errors import CliError
from cli.output import note
from cli.text import plain, size
from cli.writing import STDOUT, write_out


class Rows(StrEnum):
    """What can be extracted."""

    runs = "runs"
    steps = "steps"
    events = "events"


class Form(StrEnum):
    """The formats of files."""

    parquet = "parquet"
    csv = "csv"
    ndjson = "ndjson"
    arrow = "arrow"


_BY_ENDING: Final = {f".{form}": form for form in Form} | {".jsonl": Form.ndjson}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("extract")(extract)


def extract(
    relation: Annotated[Rows, typer.Argument(metavar="ROWS", help="runs, steps or events.")],
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - for stdout.")
    ],
    form: Annotated[
        Form | None,
        typer.Option("--format", help="Of the file; else by its ending, and ndjson for stdout."),
    ] = None,
    workflow: options.Workflow = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="ID", help="Only steps and events of this node.")
    ] = None,
    app: options.App = None,
    status: Annotated[
        Status | None, typer.Option("--status", help="Only of runs in this state.")
    ] = None,
    definition: Annotated[
        str | None,
        typer.Option("--definition", metavar="DIGEST", help="Only of runs of this definition."),
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    db: options.Db = None,
) -> None:
    """Write all runs, steps or events into one file: Parquet, CSV, NDJSON or Arrow."""
    from analytics.exporting import Export  # loads Arrow
    from analytics.selection import Selection

    chosen = form or _by_ending(output)
    selection = Selection(
        workflow=workflow,
        node=node,
        app=app,
        status=status.value if status else None,
        definition=definition,
        since=options.moment_us(since, "--since"),
        until=options.moment_us(until, "--until"),
    )
    with options.open_recorder(db) as recorder:
        recorder.projector.catch_up()
        export = Export(
            recorder.database,
            relation.value,
            chosen.value,
            selection,
        )
        write_out(output, export.pieces())
    if output != STDOUT:
        told = f"as of position {export.as_of_position:,}, {size(Path(output).stat().st_size)}"
        note(f"{relation.value} → {plain(output)}, {told}")


def _by_ending(output: str) -> Form:
    if output == STDOUT:
        return Form.ndjson
    form = _BY_ENDING.get(Path(output).suffix)
    if form is None:
        endings = ", ".join(_BY_ENDING)
        raise CliError(f"--output: {output!r} ends in none of {endings}; or give --format")
    return form
