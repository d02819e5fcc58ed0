"""The process of one query: waits for it, gives up all it could do harm with, answers, and ends.

Started as `python -I -c …` with an empty environment; stdin and stdout are all it shares with us.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from importlib.abc import MetaPathFinder
from typing import IO, Final

import duckdb
import pyarrow as pa
import pyarrow.dataset

from analytics.console.asked import Answer, Done, Failed, Fed, Needed, Query, Supplied
from analytics.console.casting import expression
from analytics.console.confinement import confine
from analytics.console.engine import RELATIONS, connected, lock, needed, read_statement
from analytics.console.forms import Pieces, Sheet, writer_of
from analytics.console.pipe import hear, hear_query, say, say_piece
from analytics.engine import literal

IDLE_S: Final = 300
"""A process nobody asked anything for so long ends."""

_BATCH_ROWS: Final = 2_048
_MAX_MESSAGE_CHARACTERS: Final = 4_000


def main() -> None:
    """Answers one query."""
    os.chdir("/")
    sys.meta_path.insert(0, _Absent())
    incoming, outgoing = _take_over(0, "rb"), _take_over(1, "wb")
    connection = connected()
    if not select.select([incoming], [], [], IDLE_S)[0]:
        os._exit(0)
    try:
        query = hear_query(incoming)
    except EOFError:
        os._exit(0)
    confine(query.limits)
    try:
        say(outgoing, Done(_answer(connection, query, incoming, outgoing)))
    except (BrokenPipeError, EOFError):
        pass  # nobody is there any more
    except Exception as error:  # whatever it is, we are asked to say so
        say(outgoing, _failed(error))
    os._exit(0)  # DuckDB's threads may still be at it


class _Absent(MetaPathFinder):
    """Says that there are no data frames: DuckDB and Arrow load what makes them, only to look for some."""

    def find_spec(self, name: str, *_: object) -> None:
        """See `MetaPathFinder`."""
        if name in ("pandas", "polars"):
            raise ModuleNotFoundError(name)


def _take_over(number: int, mode: str) -> IO[bytes]:
    """The file of a number; whoever writes to the number from now on writes nowhere."""
    ours = os.dup(number)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    os.close(nowhere)
    return open(ours, mode)  # noqa: PTH123  # a number has no path, and stays open to the end


def _answer(
    connection: duckdb.DuckDBPyConnection, query: Query, incoming: IO[bytes], outgoing: IO[bytes]
) -> Answer:
    began = time.monotonic_ns()
    lock(connection, query.limits.memory_bytes)
    statement = read_statement(connection, query.sql)
    say(outgoing, Needed(needed(connection, statement, query)))
    as_of_position = _take_in(connection, incoming)
    threading.Thread(target=_end_when_alone, args=[incoming], daemon=True).start()
    relation = connection.sql(statement, params=query.parameters or None)
    select_list = (
        expression(place, name, kind, query.format)
        for place, (name, kind) in enumerate(
            zip(relation.columns, relation.types, strict=True), start=1
        )
    )
    reader = relation.select(", ".join(select_list)).to_arrow_reader(_BATCH_ROWS)
    sheet = Sheet(relation.columns, relation.types, reader.schema, as_of_position)
    out = Pieces(lambda piece: say_piece(outgoing, piece))
    writer = writer_of(query.format, sheet, out)
    rows = 0
    truncated = False
    for batch in reader:
        truncated = rows + batch.num_rows > query.limits.rows
        taken = batch.slice(0, query.limits.rows - rows) if truncated else batch
        writer.write(taken.replace_schema_metadata(sheet.schema.metadata))
        rows += taken.num_rows
        if truncated:
            break
    answer = Answer(
        rows=rows,
        truncated=truncated,
        as_of_position=as_of_position,
        elapsed_us=(time.monotonic_ns() - began) // 1_000,
    )
    writer.end(answer)
    out.flush()
    return answer


def _take_in(connection: duckdb.DuckDBPyConnection, incoming: IO[bytes]) -> int:
    """Takes in the relations that are handed over; returns the position they are as of."""
    while isinstance(word := hear(incoming), Supplied):
        with pa.ipc.open_stream(incoming) as stream:
            table = stream.read_all()
        _take_in_relation(connection, word, table)
    match word:
        case Fed(as_of_position):
            return as_of_position
        case _:
            raise EOFError


def _take_in_relation(
    connection: duckdb.DuckDBPyConnection, supplied: Supplied, rest: pa.Table
) -> None:
    """Arrow reads the files: DuckDB would have to be let into their folder, and COPY could write there."""
    name = supplied.relation
    schema = RELATIONS[name]
    columns = ", ".join(schema.names)
    connection.execute(f"DROP TABLE {name}")
    connection.register(f"{name}_in_no_file", rest)
    selects = [f"SELECT {columns} FROM {name}_in_no_file"]
    if supplied.files:
        files = pyarrow.dataset.dataset(supplied.files, schema=schema, format="parquet")
        connection.register(f"{name}_in_files", files)
        gone = f"SELECT unnest({literal(supplied.not_counting)})"
        narrow = f" WHERE request_id NOT IN ({gone})" if supplied.not_counting else ""
        selects.append(f"SELECT {columns} FROM {name}_in_files{narrow}")
    connection.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(selects)}")


def _end_when_alone(incoming: IO[bytes]) -> None:
    """Ends the process once whoever asked is gone."""
    incoming.read()
    os._exit(0)


def _failed(error: Exception) -> Failed:
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError | pa.ArrowMemoryError):
        return Failed("out of memory", out_of_memory=True)
    if isinstance(error, duckdb.Error | pa.ArrowException):
        return Failed(str(error)[:_MAX_MESSAGE_CHARACTERS])
    return Failed(f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_CHARACTERS])
