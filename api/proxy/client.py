"""The client's side of a request that is passed on: its body, its going away, and the answer to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from api.errors import BodyTooLarge, BodyTooSlow, ClientGone
from api.proxy.headers import Pairs

_log = logging.getLogger("api.proxy")

CONNECTION = "recorder.connection"
"""The ASGI extension under which the client's `Connection` stands: our server's, else a `HeardConnection`."""


class Connection(Protocol):
    """A client's connection.

    Attributes:
        tells_ends_apart: Whether a loss it tells of while an answer ends is one.
    """

    tells_ends_apart: bool

    def watch(self, on_lost: Callable[[], None] | None) -> None:
        """Has it called once if the connection is lost, at once if it is already; None to call nobody."""

    def cut(self) -> None:
        """Closes it in the middle of an answer, if that is to be had."""


class HeardConnection:
    """What any ASGI server tells of a client's connection, once the request's body was read.

    It takes a task of each request, a tenth of a new stream's time. An answer that is not ended is cut by the
    server itself.
    """

    tells_ends_apart = False  # what has been answered is reported as gone

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listening: asyncio.Future[None] | None = None

    def watch(self, on_lost: Callable[[], None] | None) -> None:
        """See `Connection.watch`."""
        if self._listening is not None:
            self._listening.cancel()
        self._listening = None if on_lost is None else asyncio.ensure_future(self._listen(on_lost))

    def cut(self) -> None:
        """See `Connection.cut`."""

    async def _listen(self, on_lost: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        on_lost()


async def read_body(receive: Receive, *, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body of a request.

    Raises:
        BodyTooLarge: It is longer than the limit.
        BodyTooSlow: It took longer than the timeout, however long it is.
        ClientGone: The client left in the middle of it.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, limit_bytes)
    except TimeoutError:
        raise BodyTooSlow(timeout_s) from None


async def _read(receive: Receive, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes <= limit_bytes:
            chunks.append(chunk)
        else:  # read on, keeping nothing: who is still sending does not look for an answer
            chunks.clear()
        if not message.get("more_body", False):
            break
    if size_bytes > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return b"".join(chunks)


class Client:
    """Somebody who waits for an answer, until they leave. Use it as a context manager.

    Args:
        scope: Of the request, with a `CONNECTION`.
        send: The same.
        on_left: Called once if the client leaves before its answer is whole.

    Attributes:
        has_left: Whether they are gone; what is sent to them then goes nowhere.
        has_begun: Whether a status was sent.
        has_ended: Whether the end of the answer was sent.
    """

    def __init__(self, scope: Scope, send: Send, on_left: Callable[[], None]) -> None:
        self.has_left = False
        self.has_begun = False
        self.has_ended = False
        self._send = send
        self._on_left = on_left
        self._connection: Connection = scope["extensions"][CONNECTION]
        self._watches = True
        self._connection.watch(self._leave)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._look_away()

    async def begin(self, status: int, headers: Pairs) -> None:
        """Sends status and headers."""
        self.has_begun = True
        await self._tell({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        """Sends bytes of the body, in one write; waits while the client is slow to take them."""
        await self._tell({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, rest: bytes = b"") -> None:
        """Ends the answer as it should."""
        self.has_ended = True
        if not self._connection.tells_ends_apart:
            self._look_away()
        await self._tell({"type": "http.response.body", "body": rest, "more_body": False})
        self._look_away()

    async def break_off(self) -> None:
        """Ends the answer in its middle, so that the client sees a cut as one."""
        self._look_away()
        self._connection.cut()
        await asyncio.sleep(0)  # lets the server notice, which would complain otherwise

    async def _tell(self, message: Message) -> None:
        if self.has_left:
            return
        try:
            await self._send(message)
        except Exception as error:  # an answer the server cannot send, or a connection just gone
            _log.error("an answer could not be handed on: %s", type(error).__name__)
            self._leave()

    def _look_away(self) -> None:
        """Idempotent: once an answer is whole, the connection is the next request's."""
        if self._watches:
            self._watches = False
            self._connection.watch(None)

    def _leave(self) -> None:
        if not self.has_left:
            self.has_left = True
            self._on_left()
