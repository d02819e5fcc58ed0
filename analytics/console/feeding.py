"""What a query's process is given to read: rows, handed over by us, so that it needs no database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

import msgspec
import pyarrow as pa

from analytics.rows import Batches, batches_of
from analytics.selection import Selection
from recorder.store.engine import Database
from recorder.store.generations import RUNS, read_checkpoint


class Supply(msgspec.Struct, frozen=True):
    """Relations, all of one state of what is recorded.

    Attributes:
        as_of_position: The log position of that state.
        relations: By name; each can be read once, one after the other.
    """

    as_of_position: int
    relations: Mapping[str, Batches]


@contextmanager
def supply(database: Database, names: Collection[str]) -> Iterator[Supply]:
    """The relations of these names, as of now.

    Raises:
        LogUnavailable: The database does not answer.
    """
    with database.reading() as connection:
        checkpoint = read_checkpoint(connection, RUNS)
        relations = {name: batches_of(name, connection, checkpoint, Selection()) for name in names}
        yield Supply(checkpoint.position, relations)


def write_relation(batches: Batches, sink: IO[bytes]) -> None:
    """Writes a relation as an Arrow IPC stream."""
    with pa.ipc.new_stream(sink, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
