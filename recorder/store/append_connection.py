"""The connection that appends go through, one after the other."""

from __future__ import annotations

import threading
from contextlib import suppress

from sqlalchemy import Engine
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import PoolProxiedConnection

from recorder.store.failures import raise_translated


class Appending:
    """A write transaction on a connection that is kept, as a context manager that gives a cursor.

    It commits at the end, or rolls back on an exception. One thread at a time; the others wait. (As a
    generator it would take 3 µs more of every append.)

    Attributes:
        gate: Held during a transaction.

    Raises:
        LogUnavailable: The database does not answer, or refuses as a whole.
    """

    def __init__(self, engine: Engine) -> None:
        self.gate = threading.Lock()
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._connection: PoolProxiedConnection | None = None
        self._cursor: DBAPICursor | None = None
        self._closed = False

    def __enter__(self) -> DBAPICursor:
        self.gate.acquire()
        try:
            cursor = self._cursor or self._connect()
            if self._is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._give_up(error)
            raise
        return cursor

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._give_up(error)
            return
        assert self._connection is not None
        assert self._cursor is not None
        try:
            if self._is_sqlite:
                self._cursor.execute("COMMIT")  # commit() would prepare it anew each time
            else:
                self._connection.commit()
        except BaseException as failure:
            self._give_up(failure)
            raise
        try:
            if self._closed:
                self._close()
        finally:
            self.gate.release()

    def close(self, timeout_s: float) -> None:
        """Closes the connection; used again, it opens one for each transaction.

        One that is under way for longer than the timeout closes its connection when it ends.
        """
        self._closed = True
        if self.gate.acquire(timeout=timeout_s):
            try:
                self._close()
            finally:
                self.gate.release()

    def _connect(self) -> DBAPICursor:
        self._connection = self._engine.raw_connection()
        self._cursor = self._connection.cursor()
        return self._cursor

    def _give_up(self, error: BaseException) -> None:
        """Ends a transaction that failed; raises the error anew where it tells of the database."""
        try:
            self._drop()
            raise_translated(self._engine, error)
        finally:
            self.gate.release()

    def _drop(self) -> None:
        """Gives up the connection with whatever it was in the middle of; that rolls back."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is None:
            return
        if self._is_sqlite:
            # A closed SQLite connection keeps its locks as long as somebody has a cursor of it, such
            # as the frames of the traceback.
            with suppress(Exception):
                connection.rollback()
        connection.invalidate()

    def _close(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.close()
