"""DuckDB as we use it: in memory, bounded, reaching nothing but the folders it is given."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

MEMORY_LIMIT: Final = "640MB"
"""Of all snapshots of a process together; with the process itself this stays below 1 GiB."""

_CONFIG: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a query may read any variable of ours by name
}


def connect(scratch: Path | None, readable: Sequence[Path] = ()) -> duckdb.DuckDBPyConnection:
    """A database in memory.

    Args:
        scratch: Where to put what does not fit into memory; None for nowhere.
        readable: The folders it may read, `scratch` aside.
    """
    config = _CONFIG | {"temp_directory": "" if scratch is None else str(scratch)}
    config |= {"memory_limit": MEMORY_LIMIT, "threads": _threads()}
    connection = duckdb.connect(":memory:", config=config)
    folders = [str(each) for each in (*readable, *([] if scratch is None else [scratch]))]
    # A path is held against these as it is written, so as a pattern too.
    allowed = [*folders, *map(pattern_of, folders)]
    connection.execute(f"SET allowed_directories = {literal(allowed)}")
    # Segments never change under their names. Without GLOBAL it would hold for this connection and no cursor.
    connection.execute("SET GLOBAL parquet_metadata_cache = true")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _threads() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


_SIGNS: Final = re.compile(r"[*?\[]")


def pattern_of(path: str) -> str:
    """The pattern that fits just this path; DuckDB takes paths for patterns."""
    return _SIGNS.sub(r"[\g<0>]", path)


def literal(value: object) -> str:
    """A value as SQL: text, a number, or a list of them."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
