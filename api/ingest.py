"""Taking events in: appended by the service's own log writer, answered once they are durable.

Waiting takes no thread: the writer wakes the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from api.errors import ClientGone
from recorder import lease
from recorder.bootstrap import Recorder
from recorder.definitions import INLINE
from recorder.documents import decode_opened
from recorder.errors import LogError, LogUnavailable, RunClosed, SequenceConflict
from recorder.events import NewEvent
from recorder.store.log import Outcome, Receipt
from recorder.upload import Acknowledged, Sent, Upload, find

ACKNOWLEDGE_S: Final = 8.0
"""How long the log may take; whoever sent the events sends them again then."""

_PARCEL_EVENTS: Final = 500
_MAX_UNACKNOWLEDGED: Final = 256
"""Chunks of a body read ahead of the log."""

Refusal = SequenceConflict | RunClosed


class Ingest:
    """What events come in through.

    Args:
        rec: Whose log they go to.
    """

    def __init__(self, rec: Recorder) -> None:
        self._rec = rec
        self._writer = rec.writer

    async def add(self, events: Sequence[NewEvent]) -> list[Outcome]:
        """Appends events, each run's in order; durable on return. Idempotent, as the log is.

        Returns:
            For each event, in order, its receipt or the error that refused it.

        Raises:
            LogUnavailable: Not all of it is known to be durable; send the same events again.
        """
        if self._writer.is_behind:  # what nobody waits for in the end must not pile up
            raise LogUnavailable("the log is away")
        parcels = _parcels(events)
        answers = await _wait_for([self._submit(events, parcel) for parcel in parcels])
        outcomes: dict[int, Outcome] = {}
        for parcel, answer in zip(parcels, answers, strict=True):
            if isinstance(answer, list):
                outcomes.update(zip(parcel, answer, strict=True))
            else:
                outcomes.update(zip(parcel, await self._one_by_one(events, parcel), strict=True))
        self._keep_definitions(events)
        return [outcomes[index] for index in range(len(events))]

    def _keep_definitions(self, events: Sequence[NewEvent]) -> None:
        """Keeps the definitions runs bring along, which their senders can only name."""
        for event in events:
            if event.type == "opened":
                document = decode_opened(event.frame)
                if document.workflow == INLINE:
                    self._rec.definitions.of_opened(document)

    async def _one_by_one(self, events: Sequence[NewEvent], parcel: list[int]) -> list[Outcome]:
        """Which of a parcel were refused; those that were not get the receipt they have."""
        answers = await _wait_for([self._submit(events, [index]) for index in parcel])
        return [answer[0] if isinstance(answer, list) else answer for answer in answers]

    def _submit(self, events: Sequence[NewEvent], parcel: list[int]) -> Acknowledged:
        return self._send([events[index] for index in parcel])

    def _send(self, events: list[NewEvent]) -> Acknowledged:
        acknowledged = self._writer.submit_async(events)
        acknowledged.add_done_callback(_look_at)  # whoever has failed by then asks no more
        return acknowledged

    async def take_stream(
        self, request: Request, request_id: str, *, workflow: str, first_seq: int
    ) -> list[tuple[NewEvent, Receipt]]:
        """Records the body of a request as the stream of a run; durable on return.

        Returns:
            The events of the body, `closed` included, with their receipts.

        Raises:
            ClientGone: The body broke off; the run stays open for a lease time, to be gone on with.
            SequenceConflict: Other bytes stand where one of the frames should.
            RunClosed: The run has ended, and the body goes on.
            LogUnavailable: Not all of it is known to be durable; send it again.
        """
        if self._writer.is_behind:
            raise LogUnavailable("the log is away")
        begun = await run_in_threadpool(find, self._rec.log, request_id)
        upload = Upload(self._send, request_id, first_seq=first_seq, begun=begun)
        taken: list[tuple[NewEvent, Receipt]] = []
        async with self._giving_signs_of_life(upload.owner):
            upload.open(workflow)
            try:
                async for chunk in request.stream():
                    upload.feed(chunk)
                    taken += await _settle(upload, leave=_MAX_UNACKNOWLEDGED)
            except ClientDisconnect:
                raise ClientGone from None
            upload.end()
            taken += await _settle(upload)
        return taken

    def beat(self, instance: str) -> float:
        """Takes a recorder's sign of life; idempotent.

        Returns:
            How long it may be silent, in seconds, before its runs are closed.

        Raises:
            LogUnavailable: The database does not answer.
        """
        lease.beat(self._rec.database, instance)
        return self._rec.settings.lease_s

    @asynccontextmanager
    async def _giving_signs_of_life(self, owner: str | None) -> AsyncIterator[None]:
        """Keeps the run of an upload open as long as its body comes in."""
        if not owner:
            yield
            return
        beating = asyncio.create_task(self._beat_on(owner))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            with suppress(LogUnavailable):
                await run_in_threadpool(lease.leave, self._rec.database, owner)

    async def _beat_on(self, owner: str) -> None:
        while True:
            await asyncio.sleep(self._rec.settings.lease_s / lease.BEATS_PER_LEASE)
            with suppress(LogUnavailable):  # the next one may come through
                await run_in_threadpool(self.beat, owner)


def _parcels(events: Sequence[NewEvent]) -> list[list[int]]:
    """The places of each run's events, in pieces for one transaction."""
    runs: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        runs.setdefault(event.request_id, []).append(index)
    return [
        places[at : at + _PARCEL_EVENTS]
        for places in runs.values()
        for at in range(0, len(places), _PARCEL_EVENTS)
    ]


def _look_at(answer: Acknowledged) -> None:
    if not answer.cancelled():
        answer.exception()


async def _wait_for(waiting: Sequence[Acknowledged]) -> list[list[Receipt] | Refusal]:
    """The log's answers; a refusal is one, any other failure is raised."""
    _, late = await asyncio.wait(waiting, timeout=ACKNOWLEDGE_S)
    for future in late:
        future.cancel()
    if late:
        raise LogUnavailable("the log has not taken the events yet")
    failures = [future.exception() for future in waiting]
    failed = next((each for each in failures if not isinstance(each, Refusal | None)), None)
    if failed is not None:
        raise failed
    return [
        failure if isinstance(failure, Refusal) else future.result()
        for future, failure in zip(waiting, failures, strict=True)
    ]


async def _settle(upload: Upload, *, leave: int = 0) -> list[tuple[NewEvent, Receipt]]:
    """Waits for the log until no more than `leave` is unanswered, and takes what is answered.

    Raises:
        LogError: The log refused something.
    """
    taken: list[tuple[NewEvent, Receipt]] = []
    sent = upload.sent
    while sent and (len(sent) > leave or sent[0].acknowledged.done()):
        taken += await _acknowledged(sent.popleft())
    return taken


async def _acknowledged(sent: Sent) -> list[tuple[NewEvent, Receipt]]:
    [answer] = await _wait_for([sent.acknowledged])
    if sent.opens:
        return []  # refused it stands there already, opened by a body sent before
    if isinstance(answer, LogError):
        raise answer
    return list(zip(sent.events, answer, strict=True))
