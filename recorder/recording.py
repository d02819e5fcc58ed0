"""A recording: joins the decoder, the clocks and the log writer, beside a stream it never touches.

Every method a capture path calls fails open: whatever goes wrong inside is noted in `fault` and in
the program's log, and the caller's stream goes on as if nobody listened.
"""

from __future__ import annotations

import json
import logging
import uuid
from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec

from recorder import sse
from recorder.bodies import Body, Part, StreamBody, body_of
from recorder.clock import Clock, SystemClock
from recorder.definitions import Definitions
from recorder.documents import as_bytes, as_text, decode_closed
from recorder.errors import LogUnavailable
from recorder.events import (
    Closed,
    CloseReason,
    Event,
    Exchange,
    LoggedEvent,
    NewEvent,
    Opened,
    Output,
    WireEvent,
    encode_document,
    lift,
    new_event,
)
from recorder.store.log import Receipt
from recorder.writer import Lane, LogWriter

_log = logging.getLogger(__name__)

Item = TypeVar("Item", bound="bytes | Mapping[str, Any]")


def new_request_id(clock: Clock) -> str:
    """A UUIDv7 (RFC 9562): its first 48 bits are the time in milliseconds, so ids sort by time."""
    milliseconds = clock.now_us() // 1_000
    random_bits = uuid.uuid4().int
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random_bits >> 64 & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & (1 << 62) - 1
    return str(uuid.UUID(int=value))


class Recording:
    """One run being recorded. Make it when the request goes out: its clock starts then.

    Call `open` once, `take` for every chunk of the body as it came, `close` once; who wants the events of
    the chunks calls `feed` in place of `take`. Not for use from several threads at the same time.

    Chunks that are taken, and the end, are read in the writer's thread, one after the other; what is read
    here belongs to it then. Events carry the time their chunk came at, whenever that is read.

    Args:
        writer: Takes what is recorded to the log.
        clock: For the stamps.
        definitions: Names the definition of the run's workflow, where the caller does not.
    """

    def __init__(
        self,
        writer: LogWriter,
        *,
        clock: Clock | None = None,
        definitions: Definitions | None = None,
    ) -> None:
        self._fault: Exception | None = None
        self._lane: Lane | None = None
        self._writer = writer
        self._clock = clock or SystemClock()
        self._started_us = 0
        self._last_stamp = (0, 0)
        try:
            self._started_us = self._clock.monotonic_us()
        except Exception as error:
            self._note(error)
        self._body: Body = StreamBody()
        self._trailing = b""
        self._seq = 0
        self._left_us: int | None = None
        self._has_output = False
        self._takes = False
        self._definitions = definitions
        self._workflow = ""
        self._definition: str | None = None
        self._closed = False

    @property
    def request_id(self) -> str | None:
        """The run's id; final once `wait` has returned. None before `open`."""
        return None if self._lane is None else self._lane.request_id

    @property
    def fault(self) -> Exception | None:
        """What went wrong with recording, first; None while all is well."""
        return self._fault or (self._lane.broken if self._lane else None)

    @property
    def refused(self) -> Exception | None:
        """Why the log takes nothing more of the run; None as far as it has taken all."""
        return self._fault if self._lane is None else self._lane.broken

    def open(self, document: Opened) -> None:
        """Begins the run in the log; what cannot be begun is not recorded at all."""
        try:
            lane = self._new_lane(document)
            self._workflow = document.workflow
            self._definition = self._definition_of(document)
            signed = msgspec.structs.replace(
                document,
                recorder=self._writer.instance,
                recording=lane.key,
                definition=self._definition,
            )
            frame = encode_document(signed)
            self._body = body_of(document)
            # Only now: a lane whose `opened` event is never sent would hold up its followers.
            self._lane = lane
            self._send([self._event(signed, frame, self._stamp())])
        except Exception as error:
            self._note(error)

    def take(self, chunk: bytes) -> None:
        """Records the next bytes of the body. After `close` nothing is taken any more."""
        if self._closed:
            return
        try:
            self._takes = True
            self._send_unread(partial(self._read, chunk, self._stamp()), len(chunk))
        except Exception as error:
            self._note(error)

    def take_event(self, payload: Mapping[str, Any]) -> None:
        """Records an event of which only the payload is known; its frame is encoded by us."""
        try:
            self.take(sse.encode(json.dumps(dict(payload))))
        except Exception as error:
            self._note(error)

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Records the next bytes of the body at once; returns the events they complete.

        They are returned even if recording them fails. After `close` nothing is taken any more.
        """
        if self._takes:
            self._note(RuntimeError("chunks that were taken may not have been read yet"))
            return []
        if self._closed:
            return []
        parts: list[Part] = []
        try:
            stamp = self._stamp()
            parts = self._body.feed(chunk)
            if parts:
                self._send(self._events(parts, stamp))
        except Exception as error:
            self._note(error)
        return [event for event, _ in parts]

    def add(self, exchange: Exchange) -> None:
        """Records a request about a queued run and what came back."""
        if self._closed:
            return
        try:
            self._send([self._event(exchange, encode_document(exchange), self._stamp())])
        except Exception as error:
            self._note(error)

    def take_over(self, late: Recording, document: Opened, reply: Exchange) -> Exchange:
        """The reply to the submit of this run, made to tell how the run began.

        Args:
            late: The recording made for the submit; never opened, and from whose start times count from
                now on.
            document: What it would have been opened with.
            reply: To be recorded here.
        """
        try:
            lead_us = max(0, self._started_us - late._started_us)
            self._started_us -= lead_us
            self._workflow = document.workflow
            self._definition = self._definition_of(document)
            opened = msgspec.structs.replace(document, definition=self._definition)
            return msgspec.structs.replace(reply, opened=opened, lead_us=lead_us)
        except Exception as error:
            self._note(error)
            return reply

    def client_left(self) -> None:
        """Notes that the client is gone, while the body is read on.

        One that leaves once it has the output has seen the run to its end; that is no news.
        """
        try:
            if self._lane is None:
                self._left_us = self._stamp()[1]
            else:
                self._send_unread(partial(self._read_leaving, self._stamp()[1]), 0)
        except Exception as error:
            self._note(error)

    def close(
        self,
        reason: CloseReason,
        detail: str | None = None,
        *,
        whole: bool | None = None,
        if_left: CloseReason | None = None,
    ) -> None:
        """Ends the run in the log; idempotent, the first reason stays.

        Args:
            reason: Why.
            detail: One line more.
            whole: Whether the body came to its own end, where the reason does not tell.
            if_left: Why instead, should the client have left before.
        """
        if self._closed or self._lane is None:
            return
        self._closed = True
        try:
            is_whole = reason == "eof" if whole is None else whole
            self._send_unread(partial(self._read_rest, self._stamp(), whole=is_whole), 0)
            document = Closed(reason=reason, detail=detail, definition=self._later_definition())
            self._send_unread(partial(self._read_end, document, if_left, self._stamp()), 0)
        except Exception as error:
            self._note(error)

    def wait(self, timeout_s: float = 10.0) -> Receipt:
        """Waits until all that was recorded so far is durable; returns the last event's receipt.

        Raises:
            LogUnavailable: It took longer; the writer goes on trying.
            LogError: The log refused it.
        """
        lane = self._lane
        if lane is None:
            raise self._fault or RuntimeError("nothing was recorded")
        in_time = self._writer.flush(timeout_s)
        if lane.broken is not None:
            raise lane.broken
        if not in_time or lane.last_receipt is None:
            raise self._fault or LogUnavailable("the log has not taken the run yet")
        return lane.last_receipt

    def _new_lane(self, document: Opened) -> Lane:
        if self._lane is not None:
            raise RuntimeError("the recording is open already")
        return Lane(lift(document.upstream_request_id) or new_request_id(self._clock))

    def _definition_of(self, document: Opened) -> str | None:
        if self._definitions is None or document.definition is not None:
            return document.definition
        return self._definitions.of_opened(document)

    def _later_definition(self) -> str | None:
        """The definition if it became known, or another, since the run was opened."""
        if self._definitions is None:
            return None
        known = self._definitions.known(self._workflow)
        return None if known == self._definition else known

    def _stamp(self) -> tuple[int, int]:
        """Wall clock and time since the start, both in microseconds."""
        try:
            elapsed_us = self._clock.monotonic_us() - self._started_us
            self._last_stamp = (self._clock.now_us(), elapsed_us)
        except Exception as error:  # a stamp too old is better than an event lost
            self._note(error)
        return self._last_stamp

    def _event(self, event: Event, frame: bytes, stamp: tuple[int, int]) -> NewEvent:
        if self._lane is None:
            raise RuntimeError("the recording is not open")
        seq = self._seq
        self._seq += 1
        return new_event(self._lane.request_id, seq, event, frame, stamp)

    def _read(self, chunk: bytes, stamp: tuple[int, int]) -> list[NewEvent]:
        try:
            return self._events(self._body.feed(chunk), stamp)
        except Exception as error:
            self._note(error)
            return []

    def _read_leaving(self, left_us: int) -> list[NewEvent]:
        if not self._has_output:
            self._left_us = left_us
        return []

    def _read_rest(self, stamp: tuple[int, int], *, whole: bool) -> list[NewEvent]:
        try:
            parts, self._trailing = self._body.close(whole=whole)
            return self._events(parts, stamp)
        except Exception as error:
            self._note(error)
            return []

    def _read_end(
        self, document: Closed, if_left: CloseReason | None, stamp: tuple[int, int]
    ) -> list[NewEvent]:
        try:
            has_left = self._left_us is not None
            text, in_base64 = as_text(self._trailing)
            document = msgspec.structs.replace(
                document,
                reason=if_left if if_left and has_left else document.reason,
                left_us=self._left_us,
                trailing=text,
                trailing_base64=in_base64,
            )
            return [self._event(document, encode_document(document), stamp)]
        except Exception as error:
            self._note(error)
            return []

    def _events(self, parts: list[Part], stamp: tuple[int, int]) -> list[NewEvent]:
        if not self._has_output and any(isinstance(event, Output) for event, _ in parts):
            self._has_output = True
        return [self._event(event, raw, stamp) for event, raw in parts]

    def _send_unread(self, read: Callable[[], list[NewEvent]], size_bytes: int) -> None:
        if self._lane is None:
            raise RuntimeError("the recording is not open")
        self._writer.post_unread(read, size_bytes, lane=self._lane)

    def _send(self, events: list[NewEvent]) -> None:
        assert self._lane is not None
        self._writer.post(events, lane=self._lane)

    def _note(self, error: Exception) -> None:
        self._fault = self._fault or error
        _log.error("recording %s: %s: %s", self.request_id, type(error).__name__, error)


def record_items(items: Iterable[Item], recording: Recording) -> Iterator[Item]:
    """Hands on a stream's items unchanged and records them on the way; closes the recording.

    Items are chunks of the body (`bytes`), or events of which only the payload is known (mappings).
    """
    with _closing(recording):
        for item in items:
            _take(recording, item)
            yield item


async def record_async_items(
    items: AsyncIterable[Item], recording: Recording
) -> AsyncGenerator[Item, None]:
    """`record_items` for an asynchronous stream."""
    with _closing(recording):
        async for item in items:
            _take(recording, item)
            yield item


def _take(recording: Recording, item: bytes | Mapping[str, Any]) -> None:
    if isinstance(item, bytes):
        recording.take(item)
    else:
        recording.take_event(item)


@contextmanager
def _closing(recording: Recording) -> Iterator[None]:
    """Closes the recording by how the block ends; exceptions pass through."""
    try:
        yield
    except (GeneratorExit, CancelledError, KeyboardInterrupt):
        recording.close("client_gone")
        raise
    except BaseException as error:
        recording.close("cut", type(error).__name__)
        raise
    recording.close("eof")


def body_part(logged: LoggedEvent) -> bytes:
    """What an event adds to the body of its run: all of them in order are the exact body.

    Raises:
        LookupError: Bytes are missing here, erased or never kept; what is left is not the body.
    """
    if logged.type in ("opened", "exchange"):
        return b""
    if logged.frame is None:
        raise LookupError(f"seq {logged.seq} has been erased")
    if logged.type == "gap":
        raise LookupError(f"seq {logged.seq} stands in for events that were lost")
    if logged.type == "closed":
        closed = decode_closed(logged.frame)
        return as_bytes(closed.trailing, closed.trailing_base64)
    return logged.frame
