"""Following the log: what is there, then what comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from recorder.events import LoggedEvent
from recorder.store.log import EventLog

POLL_S: Final = 0.25
"""How soon commits of other processes are noticed; our own are noticed at once."""


def follow(
    log: EventLog, *, after: int = 0, stop: threading.Event | None = None
) -> Iterator[LoggedEvent]:
    """Every event above a position, in order of position, each once, none missed.

    Goes on until `stop` is set, and even then first hands out what is committed. To resume later,
    pass the last position seen.
    """
    while True:
        stopping = stop is not None and stop.is_set()
        batch = log.read(after)
        yield from batch
        if batch:
            after = batch[-1].position
        elif stopping:
            return
        else:
            log.commits.wait_beyond(after, POLL_S)
