"""A delivery: one group of parcels on its way into the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice

from recorder import answers
from recorder.answers import Answer, Waiting
from recorder.errors import LogError, LogUnavailable, RunClosed, SequenceConflict
from recorder.events import OWN_TYPES, LoggedEvent, Opened
from recorder.lanes import Lane, Parcel
from recorder.store.log import AppendLog, Receipt

_log = logging.getLogger(__name__)

Outcome = Receipt | LogError


class Delivery:
    """Appends a group, settles the ids of its lanes, and answers its senders.

    Args:
        log: Where to append.
        group: What to append, in order.
        asking: Entered around each call of the log.
        keep_refused: Called with the parcels that the log will never take and nobody else has.
    """

    def __init__(
        self,
        log: AppendLog,
        group: Sequence[Parcel],
        *,
        asking: Callable[[], AbstractContextManager[None]],
        keep_refused: Callable[[list[Parcel]], object],
    ) -> None:
        self._log = log
        self._parcels = list(group)
        self._asking = asking
        self._keep_refused = keep_refused

    @property
    def left(self) -> list[Parcel]:
        """What is still to be delivered, in order."""
        return [parcel for parcel in self._parcels if not parcel.delivered]

    def run(self) -> None:
        """Delivers all of it.

        Raises:
            LogUnavailable: The log is away; `left` tells what is to be sent again.
        """
        while left := self.left:
            if ready := [parcel for parcel in left if parcel.is_ready]:
                self._append(ready)
            elif unopened := [parcel for parcel in left if parcel.lane is not None]:
                if not self._find_openings(unopened):
                    self._refuse_unopened(unopened)
            else:
                self._settle([(marker, []) for marker in left])

    def _append(self, ready: list[Parcel]) -> None:
        """Appends parcels in one transaction; if that fails, each in its own."""
        try:
            self._settle(self._append_together(ready))
        except LogUnavailable:
            raise
        except Exception:
            _log.exception("the log failed")
            for parcel in ready:
                self._append_alone(parcel)

    def _append_alone(self, parcel: Parcel) -> None:
        try:
            self._settle(self._append_together([parcel]))
        except LogUnavailable:
            raise
        except Exception as error:
            self._stand_in(parcel, error)

    def _append_together(self, parcels: list[Parcel]) -> list[tuple[Parcel, list[Outcome]]]:
        batches = [parcel.addressed() for parcel in parcels]
        with self._asking():
            outcomes = iter(self._log.append(list(chain.from_iterable(batches))))
        return [
            (parcel, list(islice(outcomes, len(batch))))
            for parcel, batch in zip(parcels, batches, strict=True)
        ]

    def _settle(self, appended: list[tuple[Parcel, list[Outcome]]]) -> None:
        """Takes note of what became of parcels; answers their senders together."""
        told: list[tuple[Waiting, Answer]] = []
        refused: list[tuple[Parcel, Exception]] = []
        for parcel, outcomes in appended:
            error = next((each for each in outcomes if isinstance(each, LogError)), None)
            if error is None:
                receipts = [each for each in outcomes if isinstance(each, Receipt)]
                parcel.settle(receipts)
                if parcel.acknowledged is not None:
                    told.append((parcel.acknowledged, receipts))
            elif parcel.opens and isinstance(error, SequenceConflict | RunClosed):
                assert parcel.lane is not None
                parcel.lane.take_next_id()  # and is sent again
            else:
                refused.append((parcel, error))
        answers.give(told)
        self._refuse(refused)

    def _stand_in(self, parcel: Parcel, error: Exception) -> None:
        """Gives up what the log fails at, for a gap that counts it; the run goes on."""
        lane = parcel.lane
        if lane is None or parcel.loss is not None or parcel.events[0].type in OWN_TYPES:
            self._refuse([(parcel, error)])
            return
        _log.error("run %s: events the log cannot take are set apart", lane.request_id)
        self._keep_refused([parcel])
        parcel.answer(error)
        gap = lane.lose(parcel.events, f"the log failed: {type(error).__name__}")
        parcel.delivered = True
        if gap is not None:
            self._parcels[self._parcels.index(parcel)] = gap
            self._append_alone(gap)

    def _find_openings(self, waiting: list[Parcel]) -> bool:
        """Looks in the log for the `opened` events of lanes; whether one was found.

        A process that died while it drained its spool had delivered some of them, and only its
        memory knew.
        """
        lanes = {parcel.lane.key: parcel.lane for parcel in waiting if parcel.lane is not None}
        found = [self._find_opening(lane) for lane in lanes.values()]
        return any(found)

    def _find_opening(self, lane: Lane) -> bool:
        """Settles a lane's id by the run in the log that the same recording has opened, if any."""
        if lane.broken is not None:
            return False
        asked_for = lane.request_id
        while first := self._first_of(lane.request_id):
            if _recording_of(first) == lane.key:
                lane.opened = True
                return True
            lane.take_next_id()
        lane.request_id = asked_for
        return False

    def _first_of(self, request_id: str) -> LoggedEvent | None:
        with self._asking():
            rows = self._log.read_run(request_id, limit=1)
        return rows[0] if rows else None

    def _refuse_unopened(self, parcels: list[Parcel]) -> None:
        unopened = LogError("the run was never opened")
        self._refuse(
            [(parcel, (parcel.lane and parcel.lane.broken) or unopened) for parcel in parcels]
        )

    def _refuse(self, refused: list[tuple[Parcel, Exception]]) -> None:
        if kept := [parcel for parcel, error in refused if not _is_senders_own(parcel, error)]:
            self._keep_refused(kept)
        for parcel, error in refused:
            parcel.refuse(error)


def _is_senders_own(parcel: Parcel, error: Exception) -> bool:
    """Whether what is refused is in the hands of a sender who is told why.

    Whoever sends events in may send the wrong ones again and again, and must not fill our disk.
    """
    is_told = parcel.lane is None and parcel.acknowledged is not None
    return is_told and isinstance(error, SequenceConflict | RunClosed)


def _recording_of(first: LoggedEvent) -> str | None:
    """The recording that opened a run; None where that cannot be told."""
    try:
        event = first.event
    except ValueError:  # a row that was tampered with
        return None
    return event.recording if isinstance(event, Opened) else None
