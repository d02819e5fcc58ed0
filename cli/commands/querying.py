"""The `sql` command."""

from __future__ import annotations

import json
import sys
import tempfile
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from cli import options
from cli.errors import CliError
from cli.output import err, note, show, write_json_text
from cli.text import count, plain, size
from cli.writing import STDOUT, write_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.console.asked import Answer, Form, Query

_WRONG: Final = 2
_PIECE_BYTES: Final = 256 * 1024
_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
_TABLE_ROWS: Final = 200
_MIB: Final = 1024 * 1024


class Format(StrEnum):
    """How an answer is told."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sql")(sql)


def sql(
    *,
    query: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement that reads; - for stdin.")
    ] = STDOUT,
    form: Annotated[
        Format, typer.Option("--format", help="How to tell the answer.")
    ] = Format.table,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - for stdout.")
    ] = STDOUT,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="A value for $NAME."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=0, max=10_000_000, metavar="N", help="Rows at most."),
    ] = None,
    time_s: Annotated[
        float, typer.Option("--time", min=0.001, max=600, metavar="S", help="Seconds it may take.")
    ] = 60,
    memory: Annotated[
        int, typer.Option("--memory", min=64, max=4096, metavar="MIB", help="MiB it may take.")
    ] = 1024,
    db: options.Db = None,
) -> int:
    """Ask in SQL: DuckDB over the views runs, steps and events, in a process that reaches nothing else."""
    from analytics.console.asked import Limits, Query
    from analytics.console.console import Console  # loads Arrow
    from recorder.errors import BadSql

    rows = rows if rows is not None else _TABLE_ROWS if form is Format.table else 1_000_000
    limits = Limits(
        rows=rows,
        result_bytes=1024 * _MIB,
        memory_bytes=memory * _MIB,
        time_s=time_s,
        cpu_s=2 * time_s,
    )
    asked = Query(
        sql=sys.stdin.read() if query == STDOUT else query,
        parameters=options.pairs(parameters or [], "--param"),
        format=cast("Form", "json" if form is Format.table else form.value),
        limits=limits,
    )
    with (
        options.open_archive(db) as archive,
        Console(archive, ahead=False) as console,
        tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file,
    ):
        try:
            answer = console.ask(asked, file)
        except BadSql as error:
            return _refuse(error)
        file.seek(0)
        _tell(asked, answer, file, form=form, output=output)
    return 0


def _refuse(error: Exception) -> int:
    """Says what DuckDB said, its lines as they are: the last one points at the place."""
    for line in str(error).splitlines():
        err().print(plain(line), soft_wrap=True)
    return _WRONG


def _tell(query: Query, answer: Answer, file: IO[bytes], *, form: Format, output: str) -> None:
    to_stdout = output == STDOUT
    if form is Format.table:
        if not to_stdout:
            raise CliError("--output: a table is for the terminal; add --format csv, say")
        show(*_table(json.load(file)))
    elif form is Format.json and to_stdout:
        write_json_text(file.read().decode())
    else:
        write_out(output, _pieces(file))
        if not to_stdout:
            note(f"{count(answer.rows, 'row')} → {plain(output)}, {size(file.tell())}")
    if answer.truncated:
        note(
            f"recorder: there are more than {count(query.limits.rows, 'row')}; --rows N tells more"
        )


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _table(answer: dict[str, Any]) -> list[Any]:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in answer["columns"]:
        justify: Any = "right" if _is_number(column["type"]) else "left"
        table.add_column(plain(column["name"]), justify=justify, overflow="fold")
    for row in answer["rows"]:
        table.add_row(*(Text(_cell(value), overflow="fold") for value in row))
    told = f"{count(answer['row_count'], 'row')}, as of position {answer['as_of_position']:,}"
    return [table, Text(told, style="dim")]


def _is_number(kind: str) -> bool:
    return kind.partition("(")[0].endswith(
        ("INT", "INTEGER", "DOUBLE", "FLOAT", "DECIMAL", "BIGNUM")
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
