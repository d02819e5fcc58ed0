"""The report: what `recorder report` tells when it is asked no single question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli import options
from cli.output import note, out, show, write_json

if TYPE_CHECKING:
    from analytics.latency import Dimension


def report(
    context: typer.Context,
    *,
    workflow: options.Workflow = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="ID", help="Only steps of this node.")
    ] = None,
    app: options.App = None,
    since: options.Since = None,
    until: options.Until = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="NAMES", help="What to tell apart: workflow, node, app."),
    ] = "workflow,node,app",
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Report latency: exact percentiles of steps (duration, inference, overhead) and of runs.

    `recorder report QUESTION` answers a single question about many runs.
    """
    if context.invoked_subcommand is not None:
        return
    from analytics.latency import LatencyQuery, latency  # loads DuckDB and Arrow

    query = LatencyQuery(
        workflow=workflow,
        node=node,
        app=app,
        since=options.moment_us(since, "--since"),
        until=options.moment_us(until, "--until"),
        by=cast("tuple[Dimension, ...]", tuple(name for name in by.split(",") if name)),
    )
    with options.open_recorder(db) as recorder:
        recorder.projector.catch_up()
        found = latency(recorder.database, query)
    if as_json:
        from cli.documents import report_document

        write_json(report_document(found, query.by))
    elif not found.runs:
        note("recorder: nothing to measure")
    else:
        from cli.reporting import report_view

        show(*report_view(found, width=out().width))
