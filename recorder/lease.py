"""Ownership: a recorder that dies leaves runs that another one closes.

A recorder shows that it lives by a beat in the database. Whoever watches counts on his own monotonic
clock: a recorder whose beat has not changed for a lease time is taken for dead, whatever the wall clocks
say, and the runs it had open are closed as `recorder_lost`. Should it wake up after all, the log refuses
its appends, because nothing can follow a `closed` event.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recorder.clock import Clock, SystemClock
from recorder.errors import LogUnavailable
from recorder.events import Closed, NewEvent, encode_document
from recorder.store.engine import Database
from recorder.store.log import EventLog, Receipt
from recorder.store.tables import open_runs, recorders

_log = logging.getLogger(__name__)

LEASE_S: Final = 10.0
"""How long a recorder may be silent. Its runs are closed within twice this time of its death."""

BEATS_PER_LEASE: Final = 4


class _Seen(msgspec.Struct, frozen=True):
    beat: int | None
    at_us: int


def beat(database: Database, instance: str) -> None:
    """Shows that a recorder lives, as far as it has open runs or had some; idempotent.

    For one that sends its events through somebody else, its sign of life comes the same way.
    """
    statement = (
        update(recorders).where(recorders.c.instance == instance).values(beat=recorders.c.beat + 1)
    )
    its_own = open_runs.c.recorder == instance
    with database.writing() as connection:
        known = connection.execute(statement).rowcount > 0
        # A watcher may have forgotten it in the very moment it opened a run.
        if not known and connection.execute(select(exists().where(its_own))).scalar():
            connection.execute(_FIRST_BEAT[connection.dialect.name], {"instance": instance})


def leave(database: Database, instance: str) -> None:
    """Forgets a recorder that is done, unless it has open runs; idempotent."""
    with database.writing() as connection:
        connection.execute(delete(recorders).where(recorders.c.instance == instance, ~_OWNING))


_OWNING: Final = exists().where(open_runs.c.recorder == recorders.c.instance)
_FIRST_BEAT: Final = {
    name: dialect.insert(recorders)
    .values(instance=bindparam("instance"), beat=1)
    .on_conflict_do_nothing()
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


class Watch:
    """Beats for one recorder and watches the others.

    Args:
        database: Where beats and open runs are.
        log: Where lost runs are closed; its instance is the recorder this beats for.
        clock: For the monotonic clock; another one in tests.
        lease_s: How long a recorder may be silent.
        adopt: Takes over the spools of dead recorders of this machine; called at every look, so that
            what they had kept goes in before their runs are closed.
    """

    def __init__(
        self,
        database: Database,
        log: EventLog,
        *,
        clock: Clock | None = None,
        lease_s: float = LEASE_S,
        adopt: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._adopt = adopt
        self._log = log
        self._clock = clock or SystemClock()
        self._lease_us = round(lease_s * 1_000_000)
        self._pause_s = lease_s / BEATS_PER_LEASE
        self._seen: dict[str, _Seen] = {}

    def run(self, stop: threading.Event) -> None:
        """Beats and watches until told to stop; an absent database is tried again."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # whoever stops beating loses its runs
                _log.warning("no sign of life could be given: %s", error)
            stop.wait(self._pause_s)

    def look(self) -> None:
        """Adopts, beats, and closes the runs of the dead, once."""
        try:
            self._adopt()
            self.beat()
            self.close_lost_runs()
        except LogUnavailable:
            # Nobody could give a sign of life meanwhile; all get a lease time from here on.
            self._seen.clear()
            raise

    def beat(self) -> None:
        """Shows that this recorder lives; see `beat`."""
        beat(self._database, self._log.instance)

    def close_lost_runs(self) -> list[str]:
        """Closes the runs of recorders that have been silent for a lease time, as seen from here.

        Returns:
            The ids of the runs closed.
        """
        # Read before the beats are: should we stand still in between, nobody looks any older.
        now_us = self._clock.monotonic_us()
        open_now = self._open_runs()
        dead = {owner for owner, seen in self._seen.items() if self._is_dead(seen, now_us)}
        lost = [request_id for request_id, owner in open_now if owner in dead]
        closed = [request_id for request_id in lost if self._close(request_id)]
        self._forget(dead)
        return closed

    def _open_runs(self) -> list[tuple[str, str]]:
        """Open runs of others, with their owners; notes the beats."""
        query = (
            select(open_runs.c.request_id, open_runs.c.recorder, recorders.c.beat)
            .outerjoin(recorders, recorders.c.instance == open_runs.c.recorder)
            .where(open_runs.c.recorder != self._log.instance)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        now_us = self._clock.monotonic_us()
        for owner, beat in {(row.recorder, row.beat) for row in rows}:
            seen = self._seen.get(owner)
            if seen is None or seen.beat != beat:
                self._seen[owner] = _Seen(beat, now_us)
        return [(row.request_id, row.recorder) for row in rows]

    def _is_dead(self, seen: _Seen, now_us: int) -> bool:
        return now_us - seen.at_us >= self._lease_us

    def _close(self, request_id: str) -> bool:
        """Closes a run; False if it went on in the meantime, then it is looked at again."""
        last = self._log.last_of_run(request_id)
        if last is None:
            return False
        document = Closed(reason="recorder_lost", detail="its recorder gave no sign of life")
        event = NewEvent(
            request_id=request_id,
            seq=last.seq + 1,
            type="closed",
            frame=encode_document(document),
            received_at=self._clock.now_us(),
            elapsed_us=last.elapsed_us,
        )
        [outcome] = self._log.append([event])
        return isinstance(outcome, Receipt)

    def _forget(self, dead: set[str]) -> None:
        if not dead:
            return
        with self._database.writing() as connection:
            connection.execute(delete(recorders).where(recorders.c.instance.in_(dead), ~_OWNING))
        for owner in dead:
            del self._seen[owner]
