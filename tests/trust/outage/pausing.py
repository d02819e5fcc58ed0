"""A log writer whose pauses a test ends, and spools and processes that fail as told."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from recorder.events import Gap, NewEvent
from recorder.lanes import Lane
from recorder.store.log import EventLog, run_events
from recorder.store.spool import Segment, Spool, SpooledEvent, segments
from recorder.writer import LogWriter
from tests.builders import history, opened
from tests.logs import WAIT_S


class FlakySpool(Spool):
    """A spool on a disk that is full as long as `full` is set.

    Attributes:
        owner: Names its files.
        refusals: How many refused events it was given at a time.
    """

    def __init__(self, folder: Path, owner: str | None = None) -> None:
        self.owner = owner or str(uuid.uuid4())
        super().__init__(folder, self.owner)
        self.full = False
        self.refusals: list[int] = []

    def write(self, number: int, events: Sequence[SpooledEvent]) -> Segment:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(number, events)

    def keep_refused(self, events: Sequence[SpooledEvent]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.refusals.append(len(events))
        super().keep_refused(events)


class _Killed(BaseException):
    """Ends a writer's thread as the end of its process would."""


class SteppedWriter(LogWriter):
    """A writer that stands still in its pauses until told to go on.

    Attributes:
        pauses: The lengths it would have waited, in seconds.
    """

    def __init__(self, log: EventLog, spool: Spool | None = None) -> None:
        self.pauses: list[float] = []
        self._stopped = threading.Semaphore(0)
        self._go_on = threading.Semaphore(0)
        self._freed = False
        self._dead = False
        super().__init__(log, spool=spool, pause=self._stand)

    def wait_for_pause(self) -> None:
        """Returns once the writer has met an absent log once more, all it had set aside."""
        assert self._stopped.acquire(timeout=WAIT_S)

    def step(self) -> None:
        """Lets it try once more; it fails again."""
        self._go_on.release()
        self.wait_for_pause()

    def free(self) -> None:
        """Lets it run; from now on it does not stand still any more."""
        self._freed = True
        self._go_on.release()

    def go_on(self) -> None:
        """Ends this pause only."""
        self._go_on.release()

    def die(self, spool: Spool) -> None:
        """Ends as a killed process does: nothing more is written, its locks fall open."""
        assert spool._lock is not None
        os.close(spool._lock)
        spool._lock = None
        self._dead = True
        self._go_on.release()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.suppress(_Killed):
            super()._run()

    def _stand(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self._set_aside_queue()
        self._stopped.release()
        if not self._freed:
            assert self._go_on.acquire(timeout=WAIT_S)
        if self._dead:
            raise _Killed
        self._set_aside_queue()


def run_of(request_id: str, *wire: bytes, closes: bool = True) -> list[NewEvent]:
    """A run as one recording writes it; two recordings never open with the same bytes."""
    document = opened(request_id, recording=str(uuid.uuid4()))
    return history(request_id, *wire, document=document, reason="eof" if closes else None)


def post(writer: LogWriter, lane: Lane, events: Sequence[NewEvent]) -> None:
    """Every event in a call of its own."""
    for event in events:
        writer.post([event], lane=lane)


def missing_from(log: EventLog, request_id: str, sent: Sequence[NewEvent]) -> tuple[int, int]:
    """Events and bytes the run lacks, by its gaps; fails unless these explain every difference."""
    lost_events = lost_bytes = at = 0
    rows = list(run_events(log, request_id))
    assert [row.seq for row in rows] == list(range(len(rows)))
    for row in rows:
        gap = row.event
        if isinstance(gap, Gap):
            lost = sent[at : at + gap.lost_events]
            assert (len(lost), sum(len(e.frame) for e in lost)) == (
                gap.lost_events,
                gap.lost_bytes,
            )
            assert not {"opened", "closed"} & {e.type for e in lost}
            at += gap.lost_events
            lost_events += gap.lost_events
            lost_bytes += gap.lost_bytes
        else:
            assert (row.type, row.frame) == (sent[at].type, sent[at].frame)
            at += 1
    assert at == len(sent)
    return lost_events, lost_bytes


def files(folder: Path, but: str = ".lock") -> list[str]:
    """The names in a spool folder, lock files left out."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != but)


def waiting(folder: Path) -> int:
    """How many segments wait."""
    return len(segments(folder))
