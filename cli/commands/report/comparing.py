"""`recorder report compare` and `changes`: what got better or worse, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import out, show, write_json

if TYPE_CHECKING:
    from analytics.comparing.compare import CompareReport

Percentiles = Annotated[
    str, typer.Option("--percentiles", metavar="NUMBERS", help="Percentiles, with commas between.")
]


class Measure(StrEnum):
    """What is measured of steps."""

    duration = "duration"
    inference = "inference"
    overhead = "overhead"


def _side(name: str, field: str, metavar: str, what: str) -> Any:
    return typer.Option(f"--{name}-{field}", metavar=metavar, help=f"Of {name} alone: {what}.")


def register(group: typer.Typer) -> None:
    """Adds the commands."""
    group.command("compare")(compare)
    group.command("changes")(changes)


def compare(
    *,
    workflow: options.Workflow = None,
    node: options.Node = None,
    app: options.App = None,
    since: options.Since = None,
    until: options.Until = None,
    previous: Annotated[
        options.Compare | None,
        typer.Option("--compare", help="Compare with the window before; so it is by default."),
    ] = None,
    a_workflow: Annotated[str | None, _side("a", "workflow", "ID", "this workflow")] = None,
    a_node: Annotated[str | None, _side("a", "node", "ID", "this node")] = None,
    a_app: Annotated[str | None, _side("a", "app", "ID", "this app")] = None,
    a_definition: Annotated[str | None, _side("a", "definition", "DIGEST", "this one")] = None,
    a_since: Annotated[str | None, _side("a", "since", "TIME", "opened at or after")] = None,
    a_until: Annotated[str | None, _side("a", "until", "TIME", "opened before")] = None,
    b_workflow: Annotated[str | None, _side("b", "workflow", "ID", "this workflow")] = None,
    b_node: Annotated[str | None, _side("b", "node", "ID", "this node")] = None,
    b_app: Annotated[str | None, _side("b", "app", "ID", "this app")] = None,
    b_definition: Annotated[str | None, _side("b", "definition", "DIGEST", "this one")] = None,
    b_since: Annotated[str | None, _side("b", "since", "TIME", "opened at or after")] = None,
    b_until: Annotated[str | None, _side("b", "until", "TIME", "opened before")] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAMES", help="What to group steps by.")
    ] = "workflow,node",
    percentiles: Percentiles = "50,90,95,99",
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Compare two windows, definitions or cohorts: what got better or worse, and which runs show it."""
    common = {"workflow": workflow, "node": node, "app": app, "since": since, "until": until}
    a = {"workflow": a_workflow, "node": a_node, "app": a_app, "definition": a_definition}
    b = {"workflow": b_workflow, "node": b_node, "app": b_app, "definition": b_definition}
    found = _compared(
        _read(common, "--"),
        _read(a | {"since": a_since, "until": a_until}, "--a-"),
        _read(b | {"since": b_since, "until": b_until}, "--b-"),
        previous=previous,
        by=by,
        percentiles=percentiles,
        db=db,
    )
    if as_json:
        from api.comparing_models import CompareModel

        write_json(CompareModel.of(found).model_dump(mode="json"))
    else:
        from analytics.reporting.sections import compared
        from cli.composed import section_view

        show(*section_view(compared(found, str), width=out().width))


def _read(given: dict[str, str | None], prefix: str) -> dict[str, Any]:
    """The fields of a selection; moments as microseconds."""
    moments = {name: options.moment_us(given[name], prefix + name) for name in ("since", "until")}
    return given | moments


def _compared(
    common: dict[str, Any],
    a: dict[str, Any],
    b: dict[str, Any],
    *,
    previous: options.Compare | None,
    by: str,
    percentiles: str,
    db: str | None,
) -> CompareReport:
    from analytics.comparing.compare import compare as ask  # loads DuckDB, Arrow and scipy
    from analytics.comparing.queries import CompareQuery, numbers
    from analytics.comparing.windows import two_sides
    from analytics.selection import Selection
    from recorder.clock import SystemClock

    how = options.previous(previous)
    sides = two_sides(Selection(**common), a, b, compare=how, now_us=SystemClock().now_us())
    query = CompareQuery(
        a=sides[0],
        b=sides[1],
        by=tuple(by.split(",")),  # type: ignore[arg-type]  # checked there
        percentiles=numbers("percentiles", percentiles),
    )
    with options.open_archive(db) as archive:
        return ask(archive, query)


def changes(
    *,
    workflow: options.Workflow = None,
    node: options.Node = None,
    app: options.App = None,
    since: options.Since = None,
    until: options.Until = None,
    measure: Annotated[
        Measure, typer.Option("--measure", help="Of steps; whole runs have a duration.")
    ] = Measure.duration,
    percentiles: Percentiles = "50,90,95,99",
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Find when a workflow or one of its nodes became slower or faster, and stayed so."""
    from analytics.comparing.changes import changes as ask  # loads DuckDB, Arrow and scipy
    from analytics.comparing.queries import ChangesQuery, numbers

    query = ChangesQuery(
        workflow=workflow,
        node=node,
        app=app,
        since=options.moment_us(since, "--since"),
        until=options.moment_us(until, "--until"),
        measure=measure.value,
        percentiles=numbers("percentiles", percentiles),
    )
    with options.open_archive(db) as archive:
        found = ask(archive, query)
    if as_json:
        from api.comparing_models import ChangesModel

        write_json(ChangesModel.of(found).model_dump(mode="json"))
    else:
        from analytics.reporting.sections import changed
        from cli.composed import section_view

        show(*section_view(changed(found, str), width=out().width))
