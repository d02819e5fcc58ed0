"""Hearing of other processes' commits at once: PostgreSQL's LISTEN and NOTIFY.

An append on PostgreSQL notifies whoever listens, in its own transaction, so that word comes with the
commit and never before. Hearing nothing loses nothing: readers look by themselves every now and then.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from recorder.store.engine import Database
from recorder.store.signal import CHANNEL, CommitSignal

_log = logging.getLogger(__name__)

_LOOK_UP_S: Final = 1.0
"""How soon a listener notices that it is to stop."""

_AGAIN_S: Final = 2.0


class Listener:
    """Passes on what other processes commit.

    Args:
        database: Where they commit; on SQLite there is nothing to hear.
        commits: Told of every position that is reached.
    """

    def __init__(self, database: Database, commits: CommitSignal) -> None:
        self._database = database
        self._commits = commits

    def run(self, stop: threading.Event) -> None:
        """Listens until told to stop; a connection that breaks is made anew."""
        while not stop.is_set():
            try:
                self._listen(stop)
            except Exception as error:  # polling goes on without us
                _log.warning("commits of others are noticed later: %s", type(error).__name__)
                stop.wait(_AGAIN_S)

    def _listen(self, stop: threading.Event) -> None:
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # it stays ours as long as it lasts
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            while not stop.is_set():
                for heard in connection.notifies(timeout=_LOOK_UP_S):
                    self._hear(heard.payload)
                    if stop.is_set():
                        return
        finally:
            connection.close()

    def _hear(self, payload: str) -> None:
        if payload.isascii() and payload.isdigit():
            self._commits.reached(int(payload))
