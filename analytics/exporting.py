"""Runs, steps or events as a file, made piece by piece: as much memory for ten rows as for ten million."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from analytics.console.forms import ArrowWriter, CsvWriter, ParquetWriter, Pieces, dated
from analytics.rows import Batches, batches_of
from analytics.schema import MOMENT
from analytics.selection import Selection
from recorder.store.engine import Database
from recorder.store.generations import RUNS, read_checkpoint

Relation = Literal["runs", "steps", "events"]
Format = Literal["parquet", "csv", "ndjson", "arrow"]

_FORMULA: Final = r"^[=+\-@\t\r]"
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection")."""


class Export:
    """An export under way, as of one state of what is recorded.

    The rows are read while the pieces are taken, in one transaction: to read them or to close them ends it.

    Args:
        database: What is recorded.
        relation: Which rows; their columns are in `analytics.schema`.
        form: Of the file.
        selection: Which runs they belong to.

    Attributes:
        as_of_position: The log position all of it is derived from; Parquet and Arrow hold it too.

    Raises:
        LogUnavailable: The database does not answer.
    """

    def __init__(
        self, database: Database, relation: Relation, form: Format, selection: Selection
    ) -> None:
        self._form = form
        with ExitStack() as stack:
            connection = stack.enter_context(database.reading())
            checkpoint = read_checkpoint(connection, RUNS)
            self.as_of_position = checkpoint.position
            self._batches = batches_of(relation, connection, checkpoint, selection)
            self._transaction = stack.pop_all()

    def pieces(self) -> Generator[bytes]:
        """The file's bytes, once.

        Raises:
            LogUnavailable: The database does not answer any more; what came so far is no file.
        """
        with self._transaction:
            yield from _pieces(self._batches, self._form, self.as_of_position)


def _pieces(batches: Batches, form: Format, as_of_position: int) -> Iterator[bytes]:
    held: list[bytes] = []
    out = Pieces(lambda piece: held.append(bytes(piece)))
    write, end = _WRITERS[form](dated(batches.schema, as_of_position), out)
    for batch in batches:
        write(batch)
        yield from held
        held.clear()
    end()
    out.flush()
    yield from held


Write = Callable[[pa.RecordBatch], object]
End = Callable[[], object]


def _parquet(schema: pa.Schema, out: Pieces) -> tuple[Write, End]:
    writer = ParquetWriter(schema, out)
    return writer.write, writer.end


def _arrow(schema: pa.Schema, out: Pieces) -> tuple[Write, End]:
    writer = ArrowWriter(schema, out)
    return lambda batch: writer.write(batch.replace_schema_metadata(schema.metadata)), writer.end


def _csv(schema: pa.Schema, out: Pieces) -> tuple[Write, End]:
    told = pa.schema(
        [(field.name, pa.string() if _is_told(field.type) else field.type) for field in schema]
    )
    writer = CsvWriter(told, out)
    return lambda batch: writer.write(_csv_batch(batch, told)), writer.end


def _is_told(kind: pa.DataType) -> bool:
    return bool(kind == MOMENT or pa.types.is_binary(kind))


def _csv_batch(batch: pa.RecordBatch, told: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([_csv_column(column) for column in batch.columns], schema=told)


def _csv_column(column: pa.Array) -> pa.Array:
    if _is_told(column.type):
        column = pa.array(_told(column), pa.string())
    if not pa.types.is_string(column.type):
        return column
    is_formula = pc.match_substring_regex(column, _FORMULA)
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)


def _told(column: pa.Array) -> list[Any]:
    """A column's values as JSON has them."""
    if column.type == MOMENT:
        texts = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
        values: list[Any] = texts.to_pylist()
        return values
    values = column.to_pylist()
    if pa.types.is_binary(column.type):
        return [None if value is None else base64.b64encode(value).decode() for value in values]
    return values


def _ndjson(schema: pa.Schema, out: Pieces) -> tuple[Write, End]:
    names = schema.names
    encode = msgspec.json.Encoder().encode

    def write(batch: pa.RecordBatch) -> None:
        columns = [_told(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            out.write(encode(dict(zip(names, row, strict=True))) + b"\n")

    return write, lambda: None


_WRITERS: Final[dict[Format, Callable[[pa.Schema, Pieces], tuple[Write, End]]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "ndjson": _ndjson,
    "arrow": _arrow,
}
