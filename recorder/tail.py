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


def follow_run(log: EventLog, request_id: str, *, after_seq: int = -1) -> Iterator[LoggedEvent]:
    """Every event of a run above a seq, in order; ends with the run, however long that takes.

    Nothing comes out where there is no such run, or it has ended before.
    """
    while True:
        position = log.head().position
        batch = log.read_run(request_id, after_seq)
        yield from batch
        if batch:
            after_seq = batch[-1].seq
            continue
        last = log.last_of_run(request_id)
        if last is None or (last.type == "closed" and last.seq <= after_seq):
            return
        log.commits.wait_beyond(position, POLL_S)
