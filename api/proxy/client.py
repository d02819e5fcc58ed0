"""The client's side of a request that is passed on: its body, its going away, and the answer to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from api.errors import BodyTooLarge, BodyTooSlow, ClientGone
from api.proxy.headers import Pairs

_log = logging.getLogger("api.proxy")

TRANSPORT = "recorder.transport"
"""The ASGI extension under which our server offers its `asyncio.Transport`."""


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
        scope: Of the request.
        receive: The same; its body has been read.
        send: The same.
        on_left: Called once if the client leaves before its answer is whole.

    Attributes:
        has_left: Whether they are gone; what is sent to them then goes nowhere.
        has_begun: Whether a status was sent.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, on_left: Callable[[], None]
    ) -> None:
        self.has_left = False
        self.has_begun = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._on_left = on_left
        self._watch = asyncio.ensure_future(self._wait_until_left())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()

    async def begin(self, status: int, headers: Pairs) -> None:
        """Sends status and headers."""
        self.has_begun = True
        await self._tell({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        """Sends bytes of the body, in one write; waits while the client is slow to take them."""
        await self._tell({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, rest: bytes = b"") -> None:
        """Ends the answer as it should."""
        self._watch.cancel()  # from here on the server reports a client as gone that is not
        await self._tell({"type": "http.response.body", "body": rest, "more_body": False})

    async def break_off(self) -> None:
        """Ends the answer in its middle, so that the client sees a cut as one."""
        self._watch.cancel()
        transport: asyncio.Transport | None = self._scope.get("extensions", {}).get(TRANSPORT)
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)  # lets the server notice, which would complain otherwise

    async def _tell(self, message: Message) -> None:
        if self.has_left:
            return
        try:
            await self._send(message)
        except Exception as error:  # an answer the server cannot send, or a connection just gone
            _log.error("an answer could not be handed on: %s", type(error).__name__)
            self._leave()

    async def _wait_until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        if not self.has_left:
            self.has_left = True
            self._on_left()
