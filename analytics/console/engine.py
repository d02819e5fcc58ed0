"""The DuckDB of a query: what it is set up with, and which statements it takes."""

from __future__ import annotations

from typing import Any, Final

import duckdb
import pyarrow as pa

from analytics.console.asked import Query
from analytics.relations import Kind
from analytics.schema import EVENTS, RUNS, STEPS

RELATIONS: Final[dict[Kind, pa.Schema]] = {"runs": RUNS, "steps": STEPS, "events": EVENTS}
READS: Final = frozenset({"SELECT", "EXPLAIN"})
"""The statements that read, in DuckDB's own words; WITH, FROM, VALUES, DESCRIBE, SUMMARIZE and SHOW are
SELECTs to it."""

_CONFIG: Final[dict[str, Any]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a query may read any variable of ours by name
    "temp_directory": "",
}
_OF_MEMORY: Final = 0.8
"""DuckDB gets this part of the limit, so that it can say itself that there is no more."""


def connected() -> duckdb.DuckDBPyConnection:
    """A database of its own, with the relations in it, empty so far."""
    connection = duckdb.connect(":memory:", config=_CONFIG)
    connection.execute("SET TimeZone = 'UTC'")
    for name, schema in RELATIONS.items():
        connection.register("given", schema.empty_table())
        connection.execute(f"CREATE TABLE {name} AS FROM given")
        connection.unregister("given")
    connection.sql("FROM runs").to_arrow_reader().close()  # loads what is loaded at the first use
    return connection


def lock(connection: duckdb.DuckDBPyConnection, memory_bytes: int) -> None:
    """Sets the memory DuckDB may use; nothing can be set after that."""
    megabytes = max(1, round(memory_bytes * _OF_MEMORY / 1_000_000))
    connection.execute(f"SET memory_limit = '{megabytes}MB'")
    connection.execute("SET lock_configuration = true")


def read_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The statement to run.

    Raises:
        duckdb.Error: It is none, more than one, or one that does not read.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise duckdb.InvalidInputException(f"give one statement, not {len(statements)}")
    [statement] = statements
    if statement.type.name not in READS:
        raise duckdb.InvalidInputException(
            f"{statement.type.name} is refused: the console only reads (SELECT, WITH, FROM, VALUES, "
            "DESCRIBE, SUMMARIZE, SHOW, EXPLAIN)"
        )
    return statement


def needed(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, query: Query
) -> list[Kind]:
    """The relations the statement reads, as DuckDB binds it to empty ones; all where that is unclear."""
    connection.sql(
        statement, params=query.parameters or None
    )  # tells mistakes before anything is read
    try:
        named = {name.lower() for name in connection.get_table_names(statement.query)}
    except duckdb.Error:  # such as a parameter where a table function is to be bound
        return list(RELATIONS)
    return [name for name in RELATIONS if name in named]
