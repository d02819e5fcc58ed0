"""Asking: a question is a `.sql` file of `analytics/questions/`, DuckDB answers it.

A question reads the relations `runs` and `steps` (columns in `analytics/schema.py`), already narrowed to
what was selected, and bound parameters, nothing else: the connection is in memory, lives for one snapshot,
and reaches no network and no file but the segments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa

from analytics import engine
from analytics.archive import Archive, Relations
from analytics.selection import Selection
from analytics.turns import Turns
from recorder.store.engine import Database

Source = Database | Archive
"""What can be asked: a database alone, or with its segments."""

# A relation, which copies no rows, has a question planned twice, and that takes longer than many an answer.
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)

_BATCH_ROWS: Final = 250_000
_KINDS: Final[dict[str, type[duckdb.Error]]] = {
    "IO Error": duckdb.IOException,
    "Invalid Input Error": duckdb.InvalidInputException,
    "Serialization Error": duckdb.SerializationException,
    "Out of Memory Error": duckdb.OutOfMemoryException,
}
"""What a failure in the middle of an answer is, by how its message begins."""

Answer = TypeVar("Answer")
Kept = TypeVar("Kept")


class Snapshot:
    """One state of what is recorded, to ask questions of. For one thread at a time.

    Attributes:
        as_of_position: The log position every answer is derived from.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        as_of_position: int,
        without_files: Callable[[], Relations] | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._connection = connection
        self.as_of_position = as_of_position
        self._without_files = without_files
        self._turns = turns or Turns()
        self._lent: dict[str, pa.Table] = {}

    def ask(self, question: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Asks a question by the name of its file.

        Returns:
            The answer: rows in the question's order, columns by the names its file documents.
        """

        def whole(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            relation = connection.sql(text_of(question), params=dict(parameters or {}))
            return relation.to_arrow_table()

        return self._answered(whole)

    def ask_shortly(
        self, question: str, parameters: Mapping[str, object] | None = None
    ) -> pa.Table:
        """The same, sooner, for answers of so few rows that copying them costs nothing."""

        def whole(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            return connection.execute(text_of(question), dict(parameters or {})).to_arrow_table()

        return self._answered(whole)

    def gather(
        self,
        question: str,
        read: Callable[[Iterator[pa.RecordBatch]], Kept],
        parameters: Mapping[str, object] | None = None,
    ) -> Kept:
        """The same a piece at a time, for answers that are too long to be held as they are.

        Args:
            question: The name of its file. Its order is not kept.
            read: Makes of the pieces what is to be held, in copies, or each piece is held as a whole. Asks
                nothing, and is called anew should a segment vanish meanwhile.
            parameters: The question's.
        """

        def piecewise(connection: duckdb.DuckDBPyConnection) -> Kept:
            relation = connection.sql(text_of(question), params=dict(parameters or {}))
            return read(_batches(relation))

        return self._answered(piecewise)

    def _answered(self, read: Callable[[duckdb.DuckDBPyConnection], Answer]) -> Answer:
        def answer() -> Answer:
            return read(self._connection)

        try:
            return self._turns.take(answer)
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException):
            if self._without_files is None:
                raise
            # A segment may have been deleted or damaged behind our back; SQL has all there is in it.
            self._connection, self.as_of_position, _ = self._without_files()
            self._without_files = None
            for name, table in self._lent.items():
                self._connection.register(name, table)
            return self._turns.take(answer)

    @contextmanager
    def lent(self, name: str, table: pa.Table) -> Iterator[None]:
        """Within, questions can read this table as well, by this name."""
        self._connection.register(name, table)
        self._lent[name] = table
        try:
            yield
        finally:
            del self._lent[name]
            self._connection.unregister(name)

    def rows(
        self, question: str, parameters: Mapping[str, object] | None = None
    ) -> list[dict[str, Any]]:
        """The same as plain rows."""
        rows: list[dict[str, Any]] = self.ask(question, parameters).to_pylist()
        return rows


def _batches(relation: duckdb.DuckDBPyRelation) -> Iterator[pa.RecordBatch]:
    """An answer a piece at a time; DuckDB's failures, which come through Arrow here, are its own again."""
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            kind = _KINDS.get(str(error).partition(":")[0])
            if kind is None:
                raise
            raise kind(str(error)) from None
        yield batch


@contextmanager
def snapshot(
    source: Source, selection: Selection, *, with_events: bool = False
) -> Iterator[Snapshot]:
    """Opens what is recorded by now and selected.

    One transaction reads what counts and the rows that are in no segment, so it is one state of the
    live generation, whatever the projector, an exporter or a rebuild does meanwhile. With a node or an app
    selected, `steps` has those steps only and `runs` the runs that have one of them.

    Args:
        source: What is recorded; a database alone is read without its segments.
        selection: What to narrow the relations to.
        with_events: Whether there is a relation `events`.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with ExitStack() as opened:
        if isinstance(source, Database):
            source = opened.enter_context(Archive(source))
        relations = opened.enter_context(source.opened(selection, with_events=with_events))

        def without_files() -> Relations:
            source.tell_damage()
            return opened.enter_context(
                source.opened(selection, with_events=with_events, from_files=False)
            )

        again = without_files if relations.from_files else None
        yield Snapshot(relations.connection, relations.as_of_position, again, source.turns)


@contextmanager
def answering(tables: Mapping[str, pa.Table], *, as_of_position: int = 0) -> Iterator[Snapshot]:
    """A snapshot of these tables."""
    connection = engine.connect(None)
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
