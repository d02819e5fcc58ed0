"""Uploads: the body of a stream that somebody else received, recorded as it arrives here.

Unlike a recording, which stands beside a stream and never disturbs it, an upload tells its faults: whoever
sends it can send it again. Sent again, what is in the log already gets its first receipt, and what is not
follows it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from recorder.bodies import StreamBody
from recorder.clock import Clock, SystemClock
from recorder.documents import Closed, Opened, as_text, encode_document
from recorder.events import Event, NewEvent, new_event
from recorder.store.log import EventLog, Receipt, run_events

Acknowledged = asyncio.Future[list[Receipt]]
"""The log's answer: receipts, or why it refused."""

FIRST_FRAME: Final = 1
"""The place of a body's first frame; `opened` stands before it."""


class Begun(msgspec.Struct, frozen=True):
    """A run the log holds already.

    Attributes:
        owner: The recorder named where the run came in by others; no recorder of ours is kept alive.
        elapsed_us: Of its last event.
    """

    owner: str | None
    elapsed_us: int


class Sent(msgspec.Struct, frozen=True):
    """Events handed to the log writer, and its answer; `opens` where this is the run's beginning."""

    events: list[NewEvent]
    acknowledged: Acknowledged
    opens: bool = False


def find(log: EventLog, request_id: str) -> Begun | None:
    """What the log holds of a run; None if nothing."""
    first = log.read_run(request_id, limit=1)
    if not first:
        return None
    [last] = deque(run_events(log, request_id), maxlen=1)
    opened = first[0].event
    owner = opened.recorder if isinstance(opened, Opened) and opened.source == "ingest" else None
    return Begun(owner, last.elapsed_us)


class Upload:
    """One body on its way in: `open` it, `feed` every chunk as it came, `end` it once it is whole.

    A body that is not ended leaves its run open, to be gone on with or to be closed as lost.

    Args:
        send: Takes events of the run to the log.
        request_id: The run.
        first_seq: The place of the first frame that comes.
        begun: What the log holds of the run already.
        clock: For stamps; another one in tests.

    Attributes:
        owner: Names the recorder of the run; while it gives signs of life the run stays open.
        sent: What was handed to the writer, in order; whoever waits for it takes it from the front.
    """

    def __init__(
        self,
        send: Callable[[list[NewEvent]], Acknowledged],
        request_id: str,
        *,
        first_seq: int = FIRST_FRAME,
        begun: Begun | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.owner = str(uuid.uuid4()) if begun is None else begun.owner
        self.sent: deque[Sent] = deque()
        self._to_log = send
        self._request_id = request_id
        self._seq = first_seq
        self._begins = begun is None and first_seq == FIRST_FRAME
        self._clock = clock or SystemClock()
        # What is new comes after what is there, however fast that is sent again.
        self._started_us = self._clock.monotonic_us() - (begun.elapsed_us if begun else 0)
        self._body = StreamBody()

    def open(self, workflow: str) -> None:
        """Begins the run, unless it has begun."""
        if not self._begins:
            return
        document = Opened(
            workflow=workflow,
            source="ingest",
            recorder=self.owner or "",
            recording=str(uuid.uuid4()),
            upstream_request_id=self._request_id,
        )
        self._send([(document, encode_document(document))], 0, opens=True)

    def feed(self, chunk: bytes) -> None:
        """Records the next bytes of the body."""
        parts = self._body.feed(chunk)
        self._send(parts, self._seq)
        self._seq += len(parts)

    def end(self) -> None:
        """Ends the run: the body is whole."""
        _, trailing = self._body.close(whole=True)
        text, in_base64 = as_text(trailing)
        document = Closed(reason="eof", trailing=text, trailing_base64=in_base64)
        self._send([(document, encode_document(document))], self._seq)

    def _send(
        self, parts: Sequence[tuple[Event, bytes]], first_seq: int, *, opens: bool = False
    ) -> None:
        if not parts:
            return
        elapsed_us = self._clock.monotonic_us() - self._started_us
        stamp = (self._clock.now_us(), elapsed_us)
        events = [
            new_event(self._request_id, seq, event, frame, stamp)
            for seq, (event, frame) in enumerate(parts, first_seq)
        ]
        self.sent.append(Sent(events, self._to_log(events), opens))
