"""How a run began: what was called, with what input."""

from __future__ import annotations

from recorder.documents import Opened, beginning_in
from recorder.store.log import EventLog, run_events


def beginning(log: EventLog, request_id: str) -> Opened | None:
    """How a run began; None where that is not in the log, or not any more.

    Nearly always its first event tells. A queued run whose webhook came before the reply to its submit
    learns it from that reply, see `Exchange.opened`.
    """
    first = log.read_run(request_id, limit=1)
    opened = beginning_in(first[0].event) if first else None
    if opened is None or opened.workflow or opened.mode != "queue":
        return opened
    told = (beginning_in(logged.event) for logged in run_events(log, request_id))
    return next((each for each in told if each is not None and each.workflow), opened)
