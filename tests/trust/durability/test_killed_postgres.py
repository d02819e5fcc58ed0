"""A PostgreSQL server that crashes under load, again and again: recording goes on by itself."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from recorder.audit import verify
from recorder.store import schema
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.spool import Spool
from recorder.writer import Lane, LogWriter
from tests.logs import WAIT_S
from tests.postgres import OwnServer
from tests.trust.durability.promises import Place, assert_kept
from tests.trust.durability.victims import run_event
from tests.trust.soak import rounds

LANES = 4
EVENTS_BETWEEN_CRASHES = 30


class Load:
    """Threads that each append to a run, event by event, and note what was acknowledged."""

    def __init__(self, writer: LogWriter) -> None:
        self.acknowledged: list[Place] = []
        self.faults: list[BaseException] = []
        self._writer = writer
        self._changed = threading.Condition()
        self._stop = False
        self._threads = [
            threading.Thread(target=self._run, args=(f"run-{number}",)) for number in range(LANES)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_more(self, count: int) -> None:
        """Returns once so many more events are acknowledged."""
        with self._changed:
            wanted = len(self.acknowledged) + count
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, WAIT_S)

    def stop(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()

    def _run(self, request_id: str) -> None:
        lane = Lane(request_id, key=request_id)
        seq = 0
        try:
            while not self._stop:
                event = run_event(request_id, seq)
                [receipt] = self._writer.submit([event], lane=lane).result(WAIT_S)
                with self._changed:
                    self.acknowledged.append(Place(lane.request_id, seq, receipt.position))
                    self._changed.notify_all()
                seq += 1
        except Exception as fault:
            self.faults.append(fault)


def test_a_server_that_crashes_under_load_loses_and_doubles_nothing(
    own_server: OwnServer, tmp_path: Path
) -> None:
    database = connect(own_server.url(own_server.create()))
    schema.prepare(database, migrate=False)
    log = SqlLog(database)
    writer = LogWriter(log, spool=Spool(tmp_path / "spool", log.instance))
    load = Load(writer)
    try:
        for number in range(rounds(20, 500)):
            load.wait_for_more(EVENTS_BETWEEN_CRASHES)
            own_server.crash(signal.SIGQUIT if number % 2 else signal.SIGKILL)
            own_server.restart()
        load.wait_for_more(EVENTS_BETWEEN_CRASHES)
    finally:
        load.stop()
    assert load.faults == []
    assert writer.close()
    held = assert_kept(log, load.acknowledged)
    assert held.places == set(load.acknowledged)
    assert verify(log).intact
    database.close()
