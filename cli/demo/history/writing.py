"""Writing the synthetic history: through the log, like anything that was recorded."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from typing import Final

import msgspec

from cli.demo.history.load import HOUR_US, arrivals
from cli.demo.history.making import Maker
from cli.demo.history.planting import Planted, plant
from cli.demo.history.workloads import NEW_POSTER, POSTER, WORKLOADS
from recorder.definitions import digest_of
from recorder.events import NewEvent
from recorder.store.definitions import DefinitionStore
from recorder.store.engine import Database
from recorder.store.log import EventLog, Receipt

_BATCH_EVENTS: Final = 1_000
"""A transaction takes no more, so that the head row is never locked for long."""

_LAST_RUN_US: Final = HOUR_US // 4
"""Nothing begins so shortly before the end, so that all ends before it."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Which history; one and the same is the same runs, to the byte.

    Attributes:
        since, until: When it plays, microseconds since 1970 in UTC; whole hours are taken.
        runs_per_day: On an average day.
        seed: For another one of the kind.
    """

    since: int
    until: int
    runs_per_day: float = 500.0
    seed: int = 1

    @property
    def window(self) -> tuple[int, int]:
        """From the full hour before `since` to the one before `until`."""
        return self.since // HOUR_US * HOUR_US, self.until // HOUR_US * HOUR_US

    @property
    def planted(self) -> Planted:
        """What is to be found in it."""
        before = next(each for each in WORKLOADS if each.workflow == POSTER)
        return plant(self.window, digest_of(before.definition), digest_of(NEW_POSTER.definition))


class Written(msgspec.Struct, frozen=True):
    """What a history came to.

    Attributes:
        runs, events: How many it has, those included that were there from an earlier time.
        planted: What is to be found.
    """

    runs: int
    events: int
    planted: Planted


def synthesize(
    database: Database,
    log: EventLog,
    history: History,
    *,
    progress: Callable[[int], object] | None = None,
) -> Written:
    """Writes a history into a log: past times, everything else as if it had been recorded.

    Idempotent: the same history a second time adds nothing, and completes one that broke off. Nobody
    records these runs, so a break leaves runs without an end that no recorder will close.

    Args:
        database: Where the workflows' definitions are kept.
        log: Where to append.
        history: Which.
        progress: Called now and then with the moment reached, microseconds since 1970.

    Raises:
        LogError: The log refused, or does not answer.
    """
    store = DefinitionStore(database)
    for workload in (*WORKLOADS, NEW_POSTER):
        store.keep(digest_of(workload.definition), workload.definition)
    runs = events = 0
    for batch in batched_events(history):
        for outcome in log.append_copies(batch):
            if not isinstance(outcome, Receipt):
                raise outcome
        events += len(batch)
        runs += sum(event.seq == 0 for event in batch)
        if progress is not None:
            progress(batch[-1].received_at)
    return Written(runs, events, history.planted)


def batched_events(history: History) -> Iterator[list[NewEvent]]:
    """The history's events in batches for the log, in the order they were received."""
    events = _in_order(_runs(history))
    while batch := list(islice(events, _BATCH_EVENTS)):
        yield batch


def _runs(history: History) -> Iterator[list[NewEvent]]:
    since, until = history.window
    # The same for every moment of the hour in which somebody asks for "the last 30 days".
    which = f"{history.seed} {since} {until} {history.runs_per_day}"
    random_ = random.Random(which)  # noqa: S311  # no secret, and has to come again
    maker = Maker(random_, history.planted)
    shares = list(accumulate(workload.share for workload in WORKLOADS))
    for opened_at in arrivals(random_, since, until - _LAST_RUN_US, history.runs_per_day):
        [workload] = random_.choices(WORKLOADS, cum_weights=shares)
        yield maker.run(workload, opened_at)


def _in_order(runs: Iterator[list[NewEvent]]) -> Iterator[NewEvent]:
    """The events of all runs by the time they were received; runs come in by the time they began."""
    waiting: list[tuple[int, str, Iterator[NewEvent], NewEvent]] = []
    for run in runs:
        following = iter(run)
        first = next(following)
        opened_at = first.received_at - first.elapsed_us
        while waiting and waiting[0][0] < opened_at:
            yield _pop(waiting)
        heapq.heappush(waiting, (first.received_at, first.request_id, following, first))
    while waiting:
        yield _pop(waiting)


def _pop(waiting: list[tuple[int, str, Iterator[NewEvent], NewEvent]]) -> NewEvent:
    _, request_id, following, event = waiting[0]
    after = next(following, None)
    if after is None:
        heapq.heappop(waiting)
    else:
        heapq.heapreplace(waiting, (after.received_at, request_id, following, after))
    return event
