"""Asking: a question is a `.sql` file of `analytics/questions/`, DuckDB answers it.

A question reads tables it is given and bound parameters, nothing else: the connection is in memory,
lives for one use, and has no access to files, networks or extensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import duckdb
import pyarrow as pa

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a query may read any variable of ours by name
    "temp_directory": "",
    "lock_configuration": True,
}


@contextmanager
def answering(tables: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of one's own that knows these tables by name. For one thread at a time."""
    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        for name, table in tables.items():
            connection.register(name, table)
        yield connection
    finally:
        connection.close()


def ask(
    connection: duckdb.DuckDBPyConnection, question: str, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Asks a question by the name of its file.

    Returns:
        The rows, in the question's order; columns by the names its file documents.
    """
    result = connection.execute(text_of(question), dict(parameters))
    names = [column[0] for column in result.description or ()]
    # Read to the end here: the next question on this connection would end this result silently.
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@cache
def text_of(question: str) -> str:
    """The SQL of a question."""
    return (files("analytics") / "questions" / f"{question}.sql").read_text(encoding="utf-8")
