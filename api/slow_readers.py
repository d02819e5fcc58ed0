"""Readers that do not take what they asked for: what is held for one, and when it is dropped.

An answer that nobody takes first fills the system's buffers, then ours. `SmallWrites` bounds what a
connection holds beside the answer itself. `DropsSlowReaders` ends a connection once nothing has been
taken for a while, whatever the answer: a body, a page, a stream of events. The app notices as with
any client that leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems

_log = logging.getLogger("api")

WRITE_BYTES: Final = 128 * 1024


class SmallWrites:
    """Hands answers to the server in pieces, each once the one before has mostly been taken.

    The server copies what it cannot send at once; of a large answer that would be a second copy. What
    only passes through keeps its writes: there are clients that break a character cut in two.

    Args:
        app: What answers.
        below: The paths whose answers are cut.
    """

    def __init__(self, app: ASGIApp, below: str) -> None:
        self._app = app
        self._below = below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""

        async def send_in_pieces(message: Message) -> None:
            body: bytes = message.get("body", b"")
            start = 0
            while len(body) - start > WRITE_BYTES:
                piece = body[start : start + WRITE_BYTES]
                await send({"type": message["type"], "body": piece, "more_body": True})
                start += WRITE_BYTES
            await send({**message, "body": body[start:]} if start else message)

        cut = scope["type"] == "http" and scope["path"].startswith(self._below)
        await self._app(scope, receive, send_in_pieces if cut else send)


class DropsSlowReaders(asyncio.Protocol):
    """Ends a connection whose reader has taken nothing for `patience_s` while something waits.

    To be mixed into a protocol of uvicorn's. A reader that takes anything at all is given more time.
    Answers that only pass through are not ours to end: fal would wait, so we do.
    """

    patience_s: float
    passes_through: Callable[[str], bool]
    scope: Scope | None = None  # of the latest request, kept by uvicorn

    _transport: asyncio.Transport
    _unsent_bytes = 0
    _look_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's only behaves like one
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """More waits than a connection may hold: the reader is behind."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was dropped."""
        self._stop_waiting()
        super().connection_lost(exc)

    def look(self) -> None:
        """Drops the reader if it has taken nothing since the last look."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes < self._unsent_bytes:
            self._wait()
            return
        _log.warning(
            "%s: the reader has taken nothing for %g s and is dropped, %d bytes unsent",
            problems.instance_of(self.scope) if self.scope else "-",
            self.patience_s,
            unsent_bytes,
        )
        self._transport.abort()

    def _wait(self) -> None:
        if self.scope is not None and self.passes_through(self.scope["path"]):
            return
        self._unsent_bytes = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._look_again = loop.call_later(self.patience_s, self.look)

    def _stop_waiting(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
