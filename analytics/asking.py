"""Asking: a question is a `.sql` file of `analytics/questions/`, DuckDB answers it.

A question reads the relations `runs` and `steps` (columns in `analytics/schema.py`), already narrowed to
what was selected, and bound parameters, nothing else: the connection is in memory, lives for one snapshot,
and reaches no network and no file but the segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import duckdb
import pyarrow as pa

from analytics.selection import Selection
from analytics.tail import read_runs, read_steps
from recorder.store.engine import Database
from recorder.store.generations import RUNS, read_checkpoint

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a query may read any variable of ours by name
    "temp_directory": "",
    "lock_configuration": True,
}
_BATCH_ROWS: Final = 1_000_000


class Snapshot:
    """One state of what is recorded, to ask questions of. For one thread at a time.

    Attributes:
        as_of_position: The log position every answer is derived from.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, as_of_position: int) -> None:
        self._connection = connection
        self.as_of_position = as_of_position

    def ask(self, question: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Asks a question by the name of its file.

        Returns:
            The answer: rows in the question's order, columns by the names its file documents.
        """
        relation = self._connection.sql(text_of(question), params=dict(parameters or {}))
        answer: pa.Table = relation.to_arrow_table()
        return answer

    def batches(
        self, question: str, parameters: Mapping[str, object] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The same a piece at a time, for answers that are too long to be held; ask nothing meanwhile."""
        relation = self._connection.sql(text_of(question), params=dict(parameters or {}))
        yield from relation.to_arrow_reader(_BATCH_ROWS)

    @contextmanager
    def lent(self, name: str, table: pa.Table) -> Iterator[None]:
        """Within, questions can read this table as well, by this name."""
        self._connection.register(name, table)
        try:
            yield
        finally:
            self._connection.unregister(name)

    def rows(
        self, question: str, parameters: Mapping[str, object] | None = None
    ) -> list[dict[str, Any]]:
        """The same as plain rows."""
        rows: list[dict[str, Any]] = self.ask(question, parameters).to_pylist()
        return rows


@contextmanager
def snapshot(database: Database, selection: Selection) -> Iterator[Snapshot]:
    """Opens what is recorded by now and selected.

    One transaction reads the checkpoint and the rows, so it is one state of the live generation,
    whatever the projector or a rebuild does meanwhile. With a node or an app selected, `steps` has
    those steps only and `runs` the runs that have one of them.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with database.reading() as connection:
        checkpoint = read_checkpoint(connection, RUNS)
        tables = {
            "runs": read_runs(connection, checkpoint.generation, selection),
            "steps": read_steps(connection, checkpoint.generation, selection),
        }
    with answering(tables, as_of_position=checkpoint.position) as opened:
        yield opened


@contextmanager
def answering(tables: Mapping[str, pa.Table], *, as_of_position: int = 0) -> Iterator[Snapshot]:
    """A snapshot of these tables."""
    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        for name, table in tables.items():
            connection.register(name, table)
        yield Snapshot(connection, as_of_position)
    finally:
        connection.close()


@cache
def text_of(question: str) -> str:
    """The SQL of a question."""
    return (files("analytics") / "questions" / f"{question}.sql").read_text(encoding="utf-8")
