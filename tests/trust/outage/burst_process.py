"""A process that records a burst and says by how much its memory grew, until all of it is in the log.

Run as `python -m tests.trust.outage.burst_process URL SPOOL EVENTS EVENTS_A_SECOND hangs|works`; the
database hangs as long as the burst goes on, or works.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from recorder.events import Closed, Event, NewEvent
from recorder.lanes import Lane
from recorder.store.engine import connect
from recorder.store.log import Outcome, SqlLog
from recorder.store.spool import Spool
from recorder.writer import LogWriter
from tests.builders import new_event, opened
from tests.trust.memory import peak_rss_bytes, rss_bytes

STREAMS = 10
AT_ONCE = 50
DRAINED_WITHIN_S = 600


class HangingLog(SqlLog):
    """A log whose appends do not return while `passing` is not set."""

    passing = threading.Event()

    def append(self, batch: Sequence[NewEvent]) -> list[Outcome]:
        self.passing.wait()
        return super().append(batch)


class Stream:
    """A run whose events are ready to be sent: nothing but the writer is to be kept busy."""

    def __init__(self, writer: LogWriter, request_id: str) -> None:
        self.lane = Lane(request_id)
        self._writer = writer
        self._next_seq = 0
        self.send(opened(request_id))

    def send(self, *whats: bytes | Event) -> None:
        """Sends these as the next events."""
        events = [
            new_event(self.lane.request_id, seq, what)
            for seq, what in enumerate(whats, self._next_seq)
        ]
        self._next_seq += len(events)
        self._writer.post(events, lane=self.lane)

    def send_completions(self) -> None:
        """Sends `AT_ONCE` events of 400 B."""
        first, self._next_seq = self._next_seq, self._next_seq + AT_ONCE
        self._writer.post(
            [
                NewEvent(self.lane.request_id, seq, "completion", b"%0400d" % seq, 1, 1, "a")
                for seq in range(first, first + AT_ONCE)
            ],
            lane=self.lane,
        )


def main(url: str, spool: str, events: int, events_a_second: int, what: str) -> None:
    database = connect(url)
    log = HangingLog(database)
    if what == "works":
        log.passing.set()
    writer = LogWriter(log, spool=Spool(Path(spool), log.instance))
    streams = [Stream(writer, f"run-{number}") for number in range(STREAMS)]
    before = rss_bytes()
    took_s = burst(streams, events, events_a_second)
    for stream in streams:
        stream.send(Closed(reason="eof"))
    log.passing.set()
    assert writer.flush(DRAINED_WITHIN_S)
    found = {
        "grown_bytes": peak_rss_bytes() - before,
        "took_s": took_s,
        "broken": [repr(each.lane.broken) for each in streams if each.lane.broken is not None],
    }
    assert writer.close()
    database.close()
    json.dump(found, sys.stdout)


def burst(streams: Sequence[Stream], events: int, events_a_second: int) -> float:
    """Sends on the streams in turns, no faster than that; returns how long it took."""
    started = time.monotonic()
    for number in range(events // AT_ONCE):
        streams[number % STREAMS].send_completions()
        due = started + (number + 1) * AT_ONCE / events_a_second
        time.sleep(max(0.0, due - time.monotonic()))
    return time.monotonic() - started


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
