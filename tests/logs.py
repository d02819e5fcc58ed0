"""An event log to watch: it hands on to another, and can be held up or made to fail."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from recorder.events import LoggedEvent, NewEvent
from recorder.store.log import READ_BATCH, EventLog, Head, Outcome

WAIT_S = 30
"""After this a test that hangs fails instead."""


class WatchedLog:
    """Hands every call on to a log.

    Attributes:
        batches: What was appended, transaction by transaction.
        failures: Raised by the next appends, one each, with nothing appended.
        late_failures: Raised by the next appends, one each, after they were committed.
        away: Raised by every append as long as it is set.
    """

    def __init__(self, log: EventLog) -> None:
        self.instance = log.instance
        self.commits = log.commits
        self.batches: list[list[NewEvent]] = []
        self.failures: list[Exception] = []
        self.late_failures: list[Exception] = []
        self.away: Exception | None = None
        self._log = log
        self._arrived = threading.Semaphore(0)
        self._passing = threading.Event()
        self._passing.set()

    def hold(self) -> None:
        """From now on appends stand still before they begin."""
        self._passing.clear()

    def wait_for_append(self) -> None:
        """Returns once one more append has arrived, held or not."""
        assert self._arrived.acquire(timeout=WAIT_S)

    def release(self) -> None:
        """Lets appends pass again."""
        self._passing.set()

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        self._arrived.release()
        assert self._passing.wait(WAIT_S)
        if self.away is not None:
            raise self.away
        if self.failures:
            raise self.failures.pop(0)
        outcomes = self._log.append(batch)
        if self.late_failures:
            raise self.late_failures.pop(0)
        self.batches.append(list(batch))
        return outcomes

    def head(self) -> Head:
        return self._log.head()

    def read(self, after: int = 0, limit: int = READ_BATCH) -> list[LoggedEvent]:
        return self._log.read(after, limit)

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        return self._log.read_run(request_id, after_seq, limit)

    def last_of_run(self, request_id: str) -> LoggedEvent | None:
        return self._log.last_of_run(request_id)

    def count_erased(self, request_id: str) -> int:
        return self._log.count_erased(request_id)

    def append_copies(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        return self._log.append_copies(batch)
