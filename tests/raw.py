"""Connections past the recorder: what an operator, or a tamperer, does to the database."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
from sqlalchemy import make_url


class RawDatabase:
    """A connection of the driver's own, every statement its own transaction.

    Args:
        url: A SQLAlchemy URL, the database set up already.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._connection: Any
        if self.is_sqlite:
            self._connection = sqlite3.connect(
                str(parsed.database), isolation_level=None, timeout=0, check_same_thread=False
            )
        else:
            plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
            self._connection = psycopg.connect(plain, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a statement, its parameters written `?`; returns the rows."""
        if not self.is_sqlite:
            statement = statement.replace("?", "%s")
        cursor = self._connection.execute(statement, values)
        rows: list[tuple[Any, ...]] = [] if cursor.description is None else cursor.fetchall()
        cursor.close()
        return rows

    def refusal(self, statement: str, *values: object) -> str:
        """What the database says to a statement it refuses; fails where it does not."""
        try:
            self.execute(statement, *values)
        except (sqlite3.Error, psycopg.Error) as error:
            return str(error).splitlines()[0]
        raise AssertionError(f"not refused: {statement}")

    def drop_guards(self) -> None:
        """Takes away the triggers that keep the log append-only."""
        if self.is_sqlite:
            triggers = self.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers:
                self.execute(f"DROP TRIGGER {name}")
        else:
            self.execute("ALTER TABLE events DISABLE TRIGGER USER")
            self.execute("ALTER TABLE log_head DISABLE TRIGGER USER")
