"""What the processes do that the tests kill. Each line they write is one system call, so none is torn."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from recorder.errors import LogUnavailable
from recorder.events import NewEvent
from recorder.store.engine import connect
from recorder.store.log import EventLog, Outcome, Receipt, SqlLog
from recorder.store.spool import Segment, Spool, SpooledEvent
from recorder.writer import Lane, LogWriter
from tests.builders import new_event, opened, submit
from tests.logs import WAIT_S, WatchedLog

_BURST = 4
_MOST_BURSTS = 10_000
"""Ends a writer that nobody kills."""


def say(line: str) -> None:
    """Writes a line to whoever watches."""
    os.write(1, f"{line}\n".encode())


def run_event(request_id: str, seq: int) -> NewEvent:
    """An event of an endless run, its frame like no other; its lane is named like the run."""
    what = submit(f"{request_id}/{seq}") if seq else opened(request_id, recording=request_id)
    return new_event(request_id, seq, what)


def record(url: str, spool: str, prefix: str, lanes: str) -> None:
    """Appends to several runs at once and says what was acknowledged, until killed."""
    log = SqlLog(connect(url))
    writer = LogWriter(log, spool=Spool(Path(spool), log.instance))
    threads = [
        threading.Thread(target=_record_run, args=(writer, f"{prefix}-{number}"))
        for number in range(int(lanes))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _record_run(writer: LogWriter, request_id: str) -> None:
    lane = Lane(request_id, key=request_id)
    chance = random.Random(request_id)
    seq = 0
    for _ in range(_MOST_BURSTS):
        count = chance.randint(1, _BURST)
        sent = [
            writer.submit([run_event(request_id, each)], lane=lane)
            for each in range(seq, seq + count)
        ]
        for offset, acknowledged in enumerate(sent):
            _say_acknowledged(request_id, seq + offset, acknowledged)
        seq += count


def _say_acknowledged(request_id: str, seq: int, answer: Future[list[Receipt]]) -> None:
    [receipt] = answer.result(WAIT_S)
    say(f"acknowledged {request_id} {seq} {receipt.position}")


class Fuse:
    """Kills this process when a crash point is passed for the n-th time."""

    def __init__(self, passes: int) -> None:
        self._left = passes
        self.lit = False

    def crash_point(self) -> None:
        if not self.lit:
            return
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


class FusedLog(WatchedLog):
    """A log with a crash point before every append and one between commit and answer."""

    def __init__(self, log: EventLog, fuse: Fuse) -> None:
        super().__init__(log)
        self._fuse = fuse

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        self._fuse.crash_point()
        outcomes = super().append(batch)
        self._fuse.crash_point()
        return outcomes


class CountingSpool(Spool):
    """A spool that tells how many events it has brought to the disk."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(folder, owner)
        self._changed = threading.Condition()
        self._events = 0

    def write(self, number: int, events: Sequence[SpooledEvent]) -> Segment:
        segment = super().write(number, events)
        with self._changed:
            self._events += len(events)
            self._changed.notify_all()
        return segment

    def wait_for(self, events: int) -> None:
        """Returns once so many are on the disk."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._events >= events, WAIT_S)


def drain(url: str, folder: str, prefix: str, segments: str, passes: str) -> None:
    """Spools while the log is away, then drains, and dies at the n-th crash point if it has as many.

    It begins with what earlier victims left in the spool.
    """
    fuse = Fuse(int(passes))
    log = FusedLog(SqlLog(connect(url)), fuse)
    log.away = LogUnavailable("away for a while")
    spool = CountingSpool(Path(folder), log.instance)
    writer = LogWriter(log, spool=spool)
    runs = [f"{prefix}-{number}" for number in range(2)]
    lanes = {request_id: Lane(request_id, key=request_id) for request_id in runs}
    sent = []
    for seq in range(int(segments)):
        for request_id, lane in lanes.items():
            sent.append((request_id, seq, writer.submit([run_event(request_id, seq)], lane=lane)))
        spool.wait_for(len(sent))
    for request_id, seq, _ in sent:
        say(f"spooled {request_id} {seq}")
    fuse.lit = True
    log.away = None
    for request_id, seq, acknowledged in sent:
        _say_acknowledged(request_id, seq, acknowledged)
    assert writer.close()


TASKS: Final[dict[str, Callable[..., None]]] = {"record": record, "drain": drain}
