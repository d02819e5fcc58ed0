"""Definitions of workflows in the database: written once, read by digest."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from recorder.store.engine import Database
from recorder.store.tables import definitions


class DefinitionStore:
    """Keeps definitions under the digests of their bytes. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, digest: str, definition: bytes) -> None:
        """Keeps a definition; one that is there already stays.

        Raises:
            LogUnavailable: The database does not answer.
        """
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        row = insert(definitions).values(digest=digest, definition=definition)
        with self._database.writing() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def read(self, digest: str) -> bytes | None:
        """The definition, None where there is none of this digest.

        Raises:
            LogUnavailable: The database does not answer.
        """
        query = select(definitions.c.definition).where(definitions.c.digest == digest)
        with self._database.reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else bytes(found)
