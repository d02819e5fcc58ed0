"""Connections to one DuckDB in memory, kept with their relations for who asks about the same files next."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from analytics import engine
from analytics.relations import Kind, make_view

Views = tuple[tuple[Kind, str], ...]
"""Relations and the queries they are, each before those that read it. Files never change under their names, so
what is made of the same queries is the same."""

_IDLE: Final = 8
_MADE_BY_ONE: Final = 1_000
"""DuckDB keeps what it has learned of files that are long gone, some 30 KB each, so it is opened anew at times."""


class Connections:
    """Makes and keeps connections. Safe to use from several threads, each connection from one at a time.

    Args:
        readable: The folders that may be read beside that for scratch files.
    """

    def __init__(self, readable: Sequence[Path] = ()) -> None:
        self._readable = readable
        self._lock = threading.Lock()
        self._scratch: Path | None = None
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._made = 0
        self._idle: list[tuple[Views, duckdb.DuckDBPyConnection]] = []

    def new_folder(self) -> Path:
        """A folder for scratch files, which connections may read."""
        with self._lock:
            return self._new_folder()

    def take(self, views: Views) -> duckdb.DuckDBPyConnection:
        """A connection that has these relations.

        Raises:
            duckdb.Error: A file that one of them reads is not there, or is broken.
        """
        with self._lock:
            for place, (has, connection) in enumerate(self._idle):
                if has == views:
                    del self._idle[place]
                    return connection
            connection = self._cursor()
        try:
            for kind, query in views:
                make_view(connection, kind, query)
        except BaseException:
            connection.close()
            raise
        return connection

    def give_back(self, views: Views, connection: duckdb.DuckDBPyConnection) -> None:
        """Leaves a connection as it was taken to whoever takes the same relations next."""
        with self._lock:
            self._idle.append((views, connection))
            surplus = self._idle.pop(0)[1] if len(self._idle) > _IDLE else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Frees memory and scratch files; connections become useless. Idempotent."""
        with self._lock:
            self._drop()
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if self._made >= _MADE_BY_ONE:
            self._leave()
        if self._instance is None:
            spilled = self._new_folder()
            readable = [*self._readable, spilled.parent]
            self._instance, self._made = engine.connect(spilled, readable), 0
        self._made += 1
        return self._instance.cursor()

    def _drop(self) -> None:
        instance = self._instance
        self._leave()
        if instance is not None:
            instance.close()

    def _leave(self) -> None:
        """Lets go of DuckDB without closing it, which would end the connections that others are using."""
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()
        self._instance = None

    def _new_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="recorder-analytics-"))
        return Path(tempfile.mkdtemp(dir=self._scratch))
