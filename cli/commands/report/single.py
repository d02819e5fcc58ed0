"""A command for every question, made of the question's own parameters when it is called."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli import options
from cli.output import note, out, show, write_bytes, write_json

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from analytics.face import Answered
    from analytics.question import Asking


class Questions(TyperGroup):
    """The questions as commands. They are read when one is wanted: that loads DuckDB and Arrow."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the catalogue, after the commands that are no questions."""
        from analytics.catalogue import QUESTIONS

        return [*super().list_commands(ctx), *(question.name for question in QUESTIONS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None where there is none."""
        if (plain := super().get_command(ctx, cmd_name)) is not None:
            return plain
        from analytics.catalogue import QUESTIONS

        named = {question.name: question for question in QUESTIONS}
        question = named.get(cmd_name)
        return None if question is None else _command(question)


def _command(question: type[Asking]) -> Any:
    def ask(**given: Any) -> None:
        db, as_json, as_csv = (given.pop(name) for name in ("db", "as_json", "as_csv"))
        asked = question.read(_parameters(given))
        with _analytics(db) as analytics:
            answered = analytics.ask(asked)
        _tell(question, answered, as_json=as_json, as_csv=as_csv)

    ask.__doc__ = inspect.getdoc(question)
    ask.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(_parameter(name, field) for name, field in question.model_fields.items()),
            _option("db", options.Db, None),
            _option("as_json", options.Json, False),
            _option("as_csv", Annotated[bool, typer.Option("--csv", help="Print CSV.")], False),
        ]
    )
    ask.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in inspect.signature(ask).parameters.values()
    }
    one = typer.Typer(add_completion=False, rich_markup_mode=None)
    one.command(question.name, short_help=question.title)(ask)
    return typer.main.get_command(one)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Every parameter is text for the question to read, so that it says itself what is wrong."""
    if field.is_required():
        argument = typer.Argument(metavar=name.upper(), help=field.description)
        return _option(name, Annotated[str, argument], inspect.Parameter.empty)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        metavar="FILE" if name == "prices" else "VALUE",
        help=_help(name, field),
    )
    return _option(name, Annotated[str | None, option], None)


def _help(name: str, field: FieldInfo) -> str:
    if name == "prices":
        return "A price table, TOML or JSON; by default that of RECORDER_PRICES."
    if field.default is None:
        return field.description or ""
    given = field.default
    shown = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    return f"{field.description} [default: {shown or 'none'}]"


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _parameters(given: dict[str, Any]) -> dict[str, object]:
    from analytics.prices import load_prices

    parameters = {name: value for name, value in given.items() if value is not None}
    if "prices" in parameters:
        parameters["prices"] = load_prices(Path(parameters["prices"]))
    return parameters


def _analytics(db: str | None) -> Any:
    import analytics

    return analytics.open(db)


def _tell(question: type[Asking], answered: Answered, *, as_json: bool, as_csv: bool) -> None:
    if as_csv:
        from analytics.formats import as_csv as csv_of

        write_bytes(csv_of(answered.table))
        return
    rows = answered.table.to_pylist()
    if as_json:
        answer = question.answer_model(rows=rows, as_of_position=answered.as_of_position)
        write_json(json.loads(answer.model_dump_json()))
    elif not rows:
        note("recorder: nothing to tell")
    else:
        from cli.answers import answer_view

        show(*answer_view(rows, answered.as_of_position, width=out().width))
