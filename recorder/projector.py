"""The projector: tails the log, folds, and writes `runs` and `steps` with its checkpoint.

A batch is one transaction, checkpoint included, so a crash repeats at most a batch and the fold makes
the same of it. State is kept in memory for runs under way; a run not in memory is folded again from
the log, never read back from the tables.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from recorder.errors import LogUnavailable, ProjectionFailed
from recorder.events import LoggedEvent
from recorder.projections.runs import Run, fold, new_run
from recorder.projections.steps import Step
from recorder.store.engine import Database
from recorder.store.generations import (
    RUNS,
    Checkpoint,
    carry_over,
    count_differences,
    drop_generation,
    end_generation,
    move_checkpoint,
    read_checkpoint,
    start_generation,
    write_runs,
)
from recorder.store.log import EventLog, run_events

_log = logging.getLogger(__name__)

BATCH_EVENTS: Final = 2_000
POLL_S: Final = 0.5
"""How soon commits of other processes are noticed; our own are noticed at once."""

PAUSE_S: Final = 1.0
"""Between two rounds in the background. Who reads catches up first, so nobody sees the pause; a round holds
up the events that pass through the same process, so with few of them all but one percent pass unhindered."""

_MAX_RUNS_IN_MEMORY: Final = 10_000
_REBUILD: Final = "runs.rebuild"


class Projector:
    """Keeps `runs` and `steps` up with the log.

    Several projectors may work on one database: the checkpoint row lets one at a time, and whoever
    finds it moved takes up from there.

    Args:
        database: Where the tables are.
        log: What to fold.
        name: The projection's checkpoint; the live one but for a rebuild.
        batch_events: Events a transaction takes.
        fold: The fold; another one in tests.

    Attributes:
        failure: Why the projection stopped, None while it works.
    """

    def __init__(
        self,
        database: Database,
        log: EventLog,
        *,
        name: str = RUNS,
        batch_events: int = BATCH_EVENTS,
        fold: Callable[[Run, Iterable[LoggedEvent]], Run] = fold,
    ) -> None:
        self._fold_events = fold
        self.failure: ProjectionFailed | None = None
        self._database = database
        self._log = log
        self._name = name
        self._batch_events = batch_events
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._checkpoint: Checkpoint | None = None  # that the runs in memory belong to
        self._turn = threading.Lock()

    def catch_up(self, *, progress: Callable[[int], object] | None = None) -> Checkpoint:
        """Folds in everything the log holds, and returns how far that is.

        Args:
            progress: Called after every batch with the position reached.

        Raises:
            ProjectionFailed: An event could not be folded; all before it are.
            LogUnavailable: The database does not answer.
        """
        with self._turn:
            while True:
                try:
                    checkpoint, may_be_more = self._advance()
                except ProjectionFailed as failure:
                    self.failure = failure
                    raise
                self.failure = None
                if not may_be_more:
                    return checkpoint
                if progress is not None:
                    progress(checkpoint.position)

    def run(self, stop: threading.Event) -> None:
        """Keeps up until told to stop; whatever fails is told and tried again."""
        position = 0
        while not stop.is_set():
            try:
                position = self.catch_up().position
            except Exception as error:  # recording goes on without us; health tells of failures
                _log.error("projection %s: %s", self._name, error)
                stop.wait(POLL_S)
                continue
            if not stop.wait(PAUSE_S):
                self._log.commits.wait_beyond(position, POLL_S)

    def _advance(self) -> tuple[Checkpoint, bool]:
        """One batch; returns where that leads, and whether there may be more."""
        # Read before the transaction begins: nobody waits for us while we parse.
        start = self._checkpoint or self._checked(self._read_checkpoint())
        batch = self._log.read(start.position, self._batch_events)
        if not batch:
            current = self._read_checkpoint()
            return current, current != start and self._forget()
        batch, folded = self._fold_what_folds(start, batch)
        with self._database.writing() as connection:
            current = read_checkpoint(connection, self._name, lock=True)
            if current == start:
                write_runs(connection, start.generation, folded)
                current = Checkpoint(start.generation, batch[-1].position, batch[-1].chain)
                move_checkpoint(connection, self._name, current)
                self._remember(current, [run for run, _ in folded])
                return current, True
        # Another projector was here, or a rebuild was swapped in.
        return current, self._forget()

    def _read_checkpoint(self) -> Checkpoint:
        with self._database.reading() as connection:
            return read_checkpoint(connection, self._name)

    def _fold_what_folds(
        self, start: Checkpoint, batch: list[LoggedEvent]
    ) -> tuple[list[LoggedEvent], list[tuple[Run, list[Step]]]]:
        """Folds a batch up to its first failing event; raises if that leaves nothing."""
        while True:
            try:
                return batch, self._fold(start, batch)
            except ProjectionFailed as failure:
                # Runs are folded one after the other: another's event may fail further down.
                batch = [logged for logged in batch if logged.position < failure.position]
                if not batch:
                    raise

    def _checked(self, checkpoint: Checkpoint) -> Checkpoint:
        if is_made_from(self._log, checkpoint):
            return checkpoint
        reason = "the log is not the one this was made from (a restored backup?); run a rebuild"
        raise ProjectionFailed(self._name, checkpoint.position, reason)

    def _fold(self, start: Checkpoint, batch: list[LoggedEvent]) -> list[tuple[Run, list[Step]]]:
        of_run: dict[str, list[LoggedEvent]] = {}
        for logged in batch:
            of_run.setdefault(logged.request_id, []).append(logged)
        return [self._fold_run(start, request_id, mine) for request_id, mine in of_run.items()]

    def _fold_run(
        self, start: Checkpoint, request_id: str, mine: list[LoggedEvent]
    ) -> tuple[Run, list[Step]]:
        before = self._state(start, request_id, mine[0])
        try:
            after = self._fold_events(before, mine)
        except Exception as error:  # a fold is total; should it not be, we stop here and say so
            position = self._first_failing(before, mine).position
            raise self._failed(position, error) from error
        known = before.steps
        changed = [step for key, step in after.steps.items() if known.get(key) is not step]
        return after, changed

    def _failed(self, position: int, error: Exception) -> ProjectionFailed:
        return ProjectionFailed(self._name, position, f"{type(error).__name__}: {error}")

    def _first_failing(self, before: Run, mine: list[LoggedEvent]) -> LoggedEvent:
        for logged in mine:
            try:
                before = self._fold_events(before, [logged])
            except Exception:
                return logged
        return mine[0]

    def _state(self, start: Checkpoint, request_id: str, following: LoggedEvent) -> Run:
        if following.seq == 0:
            return new_run(request_id)
        if self._checkpoint == start and (run := self._runs.get(request_id)) is not None:
            return run
        past = (
            logged
            for logged in run_events(self._log, request_id)
            if logged.position <= start.position
        )
        try:
            return self._fold_events(new_run(request_id), past)
        except LogUnavailable:
            raise
        except Exception as error:  # what an earlier fold could take, this one cannot
            raise self._failed(following.position, error) from error

    def _remember(self, checkpoint: Checkpoint, folded: list[Run]) -> None:
        self._checkpoint = checkpoint
        for run in folded:
            self._runs.pop(run.request_id, None)
            if run.closed_at is None:
                self._runs[run.request_id] = run
        while len(self._runs) > _MAX_RUNS_IN_MEMORY:
            self._runs.popitem(last=False)

    def _forget(self) -> bool:
        self._checkpoint = None
        self._runs.clear()
        return True


def is_made_from(log: EventLog, checkpoint: Checkpoint) -> bool:
    """Whether a log still is the one a projection was made from, as far as its checkpoint tells.

    After a restore from an older backup its positions come again with other events.
    """
    if checkpoint.position == 0 or checkpoint.chain is None:
        return True
    at_checkpoint = log.read(checkpoint.position - 1, 1)
    return bool(at_checkpoint) and at_checkpoint[0].chain == checkpoint.chain


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild did.

    Attributes:
        position: Everything up to here is folded anew.
        differences: Runs the old tables told differently; 0 unless a fold has changed or the
            tables were tampered with.
    """

    position: int
    differences: int


def rebuild(
    database: Database, log: EventLog, *, progress: Callable[[int], object] | None = None
) -> Rebuilt:
    """Folds the whole log into a new generation, compares it with the live one, and swaps.

    Readers see the old generation until the swap, which is one transaction. A rebuild that was
    interrupted leaves nothing behind that the next one does not clear away.

    Raises:
        ProjectionFailed: An event could not be folded; the live generation stays.
        LogUnavailable: The database does not answer.
    """
    with database.writing() as connection:
        start_generation(connection, _REBUILD, live=RUNS)
    projector = Projector(database, log, name=_REBUILD)
    while True:
        built = projector.catch_up(progress=progress)
        with database.reading() as connection:
            live = read_checkpoint(connection, RUNS)
            differences = count_differences(connection, live, built)
        if _swap(database, live, built, head=log.head().position, same=differences == 0):
            break
    with database.writing() as connection:
        drop_generation(connection, live.generation)
    return Rebuilt(built.position, differences)


def _swap(
    database: Database, compared: Checkpoint, built: Checkpoint, *, head: int, same: bool
) -> bool:
    """Makes the new generation the live one; False if either has moved on since.

    Where the two tell the same, what was made from the old one stays of use.

    A live checkpoint beyond the head belongs to a log that is no more, and is no reason to wait.

    Raises:
        LogError: Another rebuild has swapped its generation in.
    """
    with database.writing() as connection:
        live = read_checkpoint(connection, RUNS, lock=True)
        if read_checkpoint(connection, _REBUILD, lock=True) != built:
            return False
        if live.generation != compared.generation or built.position < live.position <= head:
            return False
        move_checkpoint(connection, RUNS, built)
        end_generation(connection, _REBUILD)
        if same:
            carry_over(connection, compared, built)
        return True
