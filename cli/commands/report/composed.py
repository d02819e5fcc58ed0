"""`recorder report`: everything about a window, in one document."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli import options
from cli.errors import CliError
from cli.output import note, out, progress_bar, show, write_bytes, write_json

if TYPE_CHECKING:
    from analytics.latency import Dimension
    from analytics.reporting.composing import Report
    from analytics.reporting.queries import ReportQuery
    from analytics.reporting.view import Link

SERVICE = f"http://127.0.0.1:{options.SERVICE_PORT}"


class Format(StrEnum):
    """What a report is written as."""

    terminal = "terminal"
    md = "md"
    html = "html"
    json = "json"


def report(
    context: typer.Context,
    *,
    workflow: options.Workflow = None,
    node: options.Node = None,
    app: options.App = None,
    since: options.Since = None,
    until: options.Until = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="NAMES", help="What to tell apart: workflow, node, app."),
    ] = "workflow,node,app",
    compare: Annotated[
        options.Compare | None,
        typer.Option("--compare", help="Compare with the window before, of the same length."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="What to write; by default for a terminal.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to this file.")
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="The service that links lead to.")
    ] = SERVICE,
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Report on a window: throughput, percentiles, errors, where the time goes, what changed."""
    if context.invoked_subcommand is not None:
        return
    from analytics.reporting.queries import ReportQuery  # loads DuckDB and Arrow

    wanted = _format(form, as_json=as_json)
    link = linked(base_url)
    query = ReportQuery(
        workflow=workflow,
        node=node,
        app=app,
        since=options.moment_us(since, "--since"),
        until=options.moment_us(until, "--until"),
        by=cast("tuple[Dimension, ...]", tuple(name for name in by.split(",") if name)),
        compare=options.previous(compare),
    )
    found = _composed(query, db)
    if output is not None:
        _write(output, _text(found, wanted, link))
    elif wanted is Format.json:
        from cli.documents import report_document

        write_json(report_document(found))
    elif wanted is Format.terminal:
        _show(found, link)
    else:
        write_bytes(_text(found, wanted, link).encode())


def linked(base_url: str) -> Link:
    """The address of a run at a service.

    Raises:
        CliError: It is no address of a service.
    """
    from api.answers import path_of_run

    if not base_url.startswith(("http://", "https://")):
        raise CliError(f"--base-url: {base_url!r} does not begin with http:// or https://")
    return lambda request_id: base_url.rstrip("/") + path_of_run(request_id)


def _format(form: Format | None, *, as_json: bool) -> Format:
    if not as_json:
        return form or Format.terminal
    if form not in (None, Format.json):
        raise CliError(f"--json: the format is {form.value} already")
    return Format.json


def _composed(query: ReportQuery, db: str | None) -> Report:
    from analytics.reporting.composing import PARTS, compose
    from recorder.clock import SystemClock

    with (
        options.open_archive(db) as archive,
        progress_bar("composing the report", len(PARTS)) as done,
    ):
        return compose(
            archive,
            query,
            now_us=SystemClock().now_us(),
            tell=lambda part: done(PARTS.index(part)),
        )


def _text(found: Report, wanted: Format, link: Link) -> str:
    """The document in a file."""
    import json

    from analytics.reporting.html import as_html
    from analytics.reporting.markdown import as_markdown
    from cli.composed import report_text
    from cli.documents import report_document

    match wanted:
        case Format.html:
            return as_html(found, link)
        case Format.md:
            return as_markdown(found, link)
        case Format.json:
            return json.dumps(report_document(found), indent=2) + "\n"
        case Format.terminal:
            return report_text(found, link)


def _write(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise CliError(f"--output: {path}: {reason}") from None


def _show(found: Report, link: Link) -> None:
    from cli.composed import composed_view

    if not found.totals.runs and (found.totals_before is None or not found.totals_before.runs):
        note("recorder: nothing to measure")
    else:
        show(*composed_view(found, link, width=out().width))
