"""Answers as files: CSV, Arrow and Parquet."""

from __future__ import annotations

import io
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

Format = Literal["json", "csv", "arrow", "parquet"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}

_FORMULA: Final = "^[=+\\-@\t\r]"


def as_csv(table: pa.Table) -> bytes:
    """A header and the rows; NULL is empty.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, as OWASP's advice on CSV
    injection has it: ids come from outside.
    """
    columns = [_harmless(column) for column in table.columns]
    written = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), written)
    return written.getvalue()


def _harmless(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(
        pc.match_substring_regex(column, _FORMULA),
        pc.binary_join_element_wise("'", column, ""),
        column,
    )


def as_arrow(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    written = io.BytesIO()
    with pa.ipc.new_stream(written, table.schema) as stream:
        stream.write_table(table)
    return written.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    """A Parquet file."""
    written = io.BytesIO()
    pyarrow.parquet.write_table(table, written)
    return written.getvalue()
