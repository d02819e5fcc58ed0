"""Writing an answer in the form that was asked for, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from analytics.console.asked import Answer, Form
from analytics.console.casting import Type, json_writer

PIECE_BYTES: Final = 256 * 1024

Send = Callable[[memoryview], object]


def dated(schema: pa.Schema, as_of_position: int) -> pa.Schema:
    """A schema whose metadata says what log position its rows are derived from."""
    return schema.with_metadata({b"as_of_position": str(as_of_position).encode()})


class Sheet:
    """The columns of an answer.

    Attributes:
        names: As DuckDB gave them; one may stand twice.
        types: Before they were cast.
        schema: Of the batches that come, after they were cast.
        as_of_position: The log position it is derived from.
    """

    def __init__(
        self, names: Sequence[str], types: Sequence[Type], schema: pa.Schema, as_of_position: int
    ) -> None:
        self.names = list(names)
        self.types = list(types)
        self.schema = dated(schema, as_of_position)
        self.as_of_position = as_of_position


class Writer(Protocol):
    """Writes an answer: every batch, then the end."""

    def write(self, batch: pa.RecordBatch) -> None:
        """A batch of rows."""

    def end(self, answer: Answer, /) -> None:
        """What follows the rows."""


class Pieces:
    """A file, to those who write one; what is written goes out in pieces.

    Args:
        send: Takes the pieces.
    """

    closed = False

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held = bytearray()
        self._sent_bytes = 0

    def write(self, data: Any) -> int:
        """Takes bytes, or whatever shows some."""
        view = memoryview(data).cast("B")
        if len(view) >= PIECE_BYTES:
            self.flush()
            self._send(view)
            self._sent_bytes += len(view)
        else:
            self._held += view
            if len(self._held) >= PIECE_BYTES:
                self.flush()
        return len(view)

    def flush(self) -> None:
        """Sends what is held back."""
        if self._held:
            self._send(memoryview(bytes(self._held)))
            self._sent_bytes += len(self._held)
            self._held.clear()

    def tell(self) -> int:
        """How many bytes were written."""
        return self._sent_bytes + len(self._held)

    def close(self) -> None:
        """Nothing: what is written to is not ours to close."""

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No."""
        return False


class JsonWriter:
    """`{"columns": [{"name", "type"}], "rows": [[…]], …}`; how values are written, docs/sql.md tells."""

    def __init__(self, sheet: Sheet, out: Pieces) -> None:
        self._out = out
        self._encode = msgspec.json.Encoder(decimal_format="number").encode
        self._writers = [json_writer(kind) for kind in sheet.types]
        self._first = True
        columns = [
            {"name": name, "type": str(kind)}
            for name, kind in zip(sheet.names, sheet.types, strict=True)
        ]
        out.write(b'{"columns":' + self._encode(columns) + b',"rows":[')

    def write(self, batch: pa.RecordBatch) -> None:
        """See `Writer`."""
        columns = [
            column.to_pylist() if write is None else [write(value) for value in column.to_pylist()]
            for column, write in zip(batch.columns, self._writers, strict=True)
        ]
        for row in zip(*columns, strict=True):
            self._out.write(self._encode(row) if self._first else b"," + self._encode(row))
            self._first = False

    def end(self, answer: Answer, /) -> None:
        """See `Writer`."""
        told = {
            "row_count": answer.rows,
            "truncated": answer.truncated,
            "as_of_position": answer.as_of_position,
            "elapsed_us": answer.elapsed_us,
        }
        self._out.write(b"]," + self._encode(told)[1:])


class CsvWriter:
    """RFC 4180, with a line of names; text is quoted, numbers are not, unknown is nothing at all."""

    def __init__(self, schema: pa.Schema, out: Pieces) -> None:
        self._writer = pa.csv.CSVWriter(out, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """See `Writer`."""
        self._writer.write_batch(batch)

    def end(self, _: object = None, /) -> None:
        """See `Writer`."""
        self._writer.close()


class ParquetWriter:
    """Parquet, compressed with zstd; `as_of_position` is in its metadata."""

    _ROW_GROUP_BYTES: Final = 16 * 1024 * 1024

    def __init__(self, schema: pa.Schema, out: Pieces) -> None:
        self._writer = pa.parquet.ParquetWriter(out, schema, compression="zstd")
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """See `Writer`."""
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes >= self._ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        batches = [batch.replace_schema_metadata(self._schema.metadata) for batch in self._held]
        self._writer.write_table(pa.Table.from_batches(batches, self._schema))
        self._held, self._held_bytes = [], 0

    def end(self, _: object = None, /) -> None:
        """See `Writer`."""
        if self._held:
            self._write_group()
        self._writer.close()


class ArrowWriter:
    """An Arrow IPC stream; `as_of_position` is in its schema's metadata."""

    def __init__(self, schema: pa.Schema, out: Pieces) -> None:
        self._writer = pa.ipc.new_stream(out, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """See `Writer`."""
        self._writer.write_batch(batch)

    def end(self, _: object = None, /) -> None:
        """See `Writer`."""
        self._writer.close()


def writer_of(form: Form, sheet: Sheet, out: Pieces) -> Writer:
    """What writes an answer in a form."""
    match form:
        case "json":
            return JsonWriter(sheet, out)
        case "csv":
            return CsvWriter(sheet.schema, out)
        case "parquet":
            return ParquetWriter(sheet.schema, out)
        case "arrow":
            return ArrowWriter(sheet.schema, out)
