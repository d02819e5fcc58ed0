"""The log of a database that may not be there yet."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from recorder.errors import LogError, LogUnavailable
from recorder.events import LoggedEvent, NewEvent
from recorder.store import schema
from recorder.store.appending import Outcome
from recorder.store.engine import Database
from recorder.store.log import READ_BATCH, SqlLog


class LateLog(SqlLog):
    """A log that is away until its database answers and is at our schema.

    Whoever begins to record waits for neither; an empty database is set up by whoever comes first to append.
    """

    def __init__(self, database: Database, *, instance: str | None = None) -> None:
        super().__init__(database, instance=instance)
        self._is_set_up = False
        self._setting_up = threading.Lock()

    def set_up(self) -> None:
        """Sees to the schema, once.

        Raises:
            LogUnavailable: The database cannot be used as it is; somebody may see to it.
        """
        with self._setting_up:
            if self._is_set_up:
                return
            try:
                schema.prepare(self._database, migrate=False)
            except LogError as error:
                raise LogUnavailable(str(error)) from None
            self._is_set_up = True

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        """See `EventLog.append`."""
        self.set_up()
        return super().append(batch)

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """See `EventLog.read_run`."""
        self.set_up()
        return super().read_run(request_id, after_seq, limit)
