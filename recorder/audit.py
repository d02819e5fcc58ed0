"""Audit: does the log still say what was recorded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from recorder import chain
from recorder.events import LoggedEvent, NewEvent
from recorder.store.log import READ_BATCH, EventLog


class Verdict(msgspec.Struct, frozen=True):
    """What verifying the log found.

    Attributes:
        epoch: The log's identity.
        position: The last position the verdict covers.
        chain: The chain value there.
        erased: Events whose frame was erased; their digests still hold.
        broken_at: The first position that does not follow from what is before it; None if all do.
        reason: What is wrong there.
    """

    epoch: str
    position: int
    chain: bytes
    erased: int = 0
    broken_at: int | None = None
    reason: str | None = None

    @property
    def intact(self) -> bool:
        """Whether every event is as it was recorded."""
        return self.broken_at is None


def verify(log: EventLog, *, progress: Callable[[int], object] | None = None) -> Verdict:
    """Walks the whole chain up to the head as of now.

    Args:
        log: What to verify.
        progress: Called with the position reached, every now and then.
    """
    head = log.head()
    position, value, erased = 0, chain.GENESIS, 0
    while position < head.position:
        batch = log.read(position, min(READ_BATCH, head.position - position))
        if not batch:
            return Verdict(head.epoch, position, value, erased, position + 1, "events are missing")
        for logged in batch:
            reason = _fault(head.epoch, value, position, logged)
            if reason is not None:
                return Verdict(head.epoch, position, value, erased, position + 1, reason)
            position, value = logged.position, logged.chain
            erased += logged.frame is None
        if progress is not None:
            progress(position)
    # Read before the head is read again: rows and head move together, so what stands beyond the
    # newer head was never appended.
    beyond = log.read(position, 1)
    if beyond and log.head().position < beyond[0].position:
        reason = "events stand beyond the head"
        return Verdict(head.epoch, position, value, erased, beyond[0].position, reason)
    if value != head.chain:
        reason = "the head does not match the last event"
        return Verdict(head.epoch, position, value, erased, position, reason)
    return Verdict(head.epoch, position, value, erased)


def _fault(epoch: str, previous: bytes, position: int, logged: LoggedEvent) -> str | None:
    if logged.position != position + 1:
        return "events are missing"
    try:
        return mismatch(epoch, previous, logged)
    except (TypeError, AttributeError, IndexError):
        # SQLite keeps a value of any type in any column, such as text where the frame's bytes were.
        return "the row is not the one recorded"


def mismatch(epoch: str, previous: bytes, logged: LoggedEvent) -> str | None:
    """What of an event is not as it was recorded, going by the chain before it; None if all is."""
    if not _frame_holds(logged):
        return "the frame is not the one recorded"
    event = NewEvent(
        request_id=logged.request_id,
        seq=logged.seq,
        type=logged.type,
        frame=b"",  # enters by its digest
        received_at=logged.received_at,
        elapsed_us=logged.elapsed_us,
        node_id=logged.node_id,
        app_id=logged.app_id,
        step_request_id=logged.step_request_id,
    )
    expected = chain.link(epoch, previous, logged.position, event, logged.frame_digest)
    return None if expected == logged.chain else "the row is not the one recorded"


def _frame_holds(logged: LoggedEvent) -> bool:
    if logged.frame is None or logged.salt is None:
        # An erasure takes both. A frame without its salt could be anything.
        return logged.frame is logged.salt
    return chain.frame_digest(logged.salt, logged.frame) == logged.frame_digest
