"""Beside the requests of an httpx client: what becomes of each is told to its tap.

A chunk is told as it comes and then handed on: an iterator goes on only when its consumer asks for more, so
what is told later would be stamped with the time the consumer took, and lost with the process if that ends
meanwhile. Telling waits for nothing, takes microseconds and raises nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final

import httpx

from recorder.bodies import is_event_stream
from recorder.capture import Tap
from recorder.documents import CloseReason

_log = logging.getLogger(__name__)

_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,  # a header that cannot be written
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Ends of requests no byte of which has reached upstream."""

_GLANCE_S: Final = 0.25
_GLANCE_BYTES: Final = 64 * 1024
"""What is read at most of an answer that its caller closes unread."""

_STOPPED: Final[tuple[CloseReason, str]] = ("error", "the client is recorded no longer")


class Beside:
    """Beside one request. Never raises.

    Args:
        tap: Told what becomes of it.
        lock: Held while the tap is told something, never across I/O.
        on_end: Called once nothing more will be told.
    """

    def __init__(self, tap: Tap, lock: threading.Lock, on_end: Callable[[Beside], object]) -> None:
        self._tap = tap
        self._lock = lock
        self._on_end = on_end
        self._is_answered = False
        self._has_ended = False

    def answered(self, response: httpx.Response) -> None:
        """An answer came."""
        self._tell(lambda: self._answered(response))

    def failed(self, error: BaseException) -> None:
        """No answer came."""
        if isinstance(error, _UNSENT):
            self._end(self._tap.unsent)
        else:
            self._end(lambda: self._tap.unanswered(*_why(error)))

    def passed(self, chunk: bytes) -> None:
        """A chunk of the body came."""
        self._tell(lambda: self._tap.feed(chunk))

    def ended(self) -> None:
        """The body came to its end."""
        self._end(self._tap.ended)

    def broke_off(self, error: BaseException) -> None:
        """The body came to another end."""
        self._end(lambda: self._tap.broke_off(*_why(error)))

    def left(self) -> None:
        """Nobody reads on; no news once the body has ended."""
        self.broke_off(GeneratorExit())

    def stopped(self) -> None:
        """Nothing more is to be recorded, whatever becomes of the request."""
        self._end(
            lambda: (self._tap.broke_off if self._is_answered else self._tap.unanswered)(*_STOPPED)
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Tells how the reading of the body ends; exceptions pass through."""
        try:
            yield
        except BaseException as error:
            self.broke_off(error)
            raise
        self.ended()

    def _answered(self, response: httpx.Response) -> None:
        self._is_answered = True
        self._tap.answered(response.status_code, response.headers.multi_items())

    def _tell(self, what: Callable[[], object], *, last: bool = False) -> None:
        try:
            with self._lock:
                if not self._has_ended:
                    self._has_ended = last
                    what()
        except Exception as error:  # the type alone: a message may quote what was sent
            _log.error("recording a request to fal: %s", type(error).__name__)

    def _end(self, what: Callable[[], object]) -> None:
        self._tell(what, last=True)
        self._on_end(self)


def _why(error: BaseException) -> tuple[CloseReason, str]:
    if isinstance(error, httpx.TimeoutException):
        return "timeout", type(error).__name__
    if isinstance(error, Exception):
        return "cut", type(error).__name__
    return "client_gone", type(error).__name__  # it was closed, cancelled or interrupted


class _Unread:
    """An answer that may be closed before anybody has looked at it.

    fal's client does that where the answer to a stream is none: why fal refused is lost to its caller, and would
    be to us. Such a body is nearly always there already, so it is read for the time of a blink.
    """

    def __init__(self, response: httpx.Response, request: httpx.Request) -> None:
        self._timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        self._left_bytes = _GLANCE_BYTES
        self._until_s = 0.0
        self.is_ended = is_event_stream(response.headers.get("content-type", ""))

    def glance(self) -> bool:
        """Whether to read on to the end now, shortly."""
        if self.is_ended:
            return False
        self._timeouts["read"] = _GLANCE_S  # the transport looks there when it begins to read
        self._until_s = time.monotonic() + _GLANCE_S
        return True

    def is_enough(self, chunk: bytes) -> bool:
        """Whether to stop after this chunk."""
        self._left_bytes -= len(chunk)
        return self._left_bytes < 0 or time.monotonic() > self._until_s


class TappedStream(httpx.SyncByteStream):
    """The body of an answer, told to a tap as it is read.

    Args:
        response: The answer; its stream is to be replaced by this.
        request: What it answers.
        beside: Told of the body.
    """

    def __init__(self, response: httpx.Response, request: httpx.Request, beside: Beside) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        self._stream = response.stream
        self._beside = beside
        self._unread = _Unread(response, request)

    def __iter__(self) -> Iterator[bytes]:
        self._unread.is_ended = True
        with self._beside.reading():
            for chunk in self._stream:
                self._beside.passed(chunk)
                yield chunk

    def close(self) -> None:
        """Closes the stream; whoever closes it before its end has left."""
        try:
            if self._unread.glance():
                self._read_the_rest()
        finally:
            try:
                self._stream.close()
            finally:
                self._beside.left()

    def _read_the_rest(self) -> None:
        with suppress(Exception):
            for chunk in self:
                if self._unread.is_enough(chunk):
                    return


class AsyncTappedStream(httpx.AsyncByteStream):
    """The same for an asynchronous client."""

    def __init__(self, response: httpx.Response, request: httpx.Request, beside: Beside) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._beside = beside
        self._unread = _Unread(response, request)

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self._unread.is_ended = True
        with self._beside.reading():
            async for chunk in self._stream:
                self._beside.passed(chunk)
                yield chunk

    async def aclose(self) -> None:
        """See `TappedStream.close`."""
        try:
            if self._unread.glance():
                await self._read_the_rest()
        finally:
            try:
                await self._stream.aclose()
            finally:
                self._beside.left()

    async def _read_the_rest(self) -> None:
        with suppress(Exception):
            async with aclosing(self.__aiter__()) as chunks:
                async for chunk in chunks:
                    if self._unread.is_enough(chunk):
                        return
