"""Answers made piece by piece in a thread: sent as they are taken, cut where making them fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.proxy.client import Client
from api.streams import Streams

_log = logging.getLogger("api")


class Download(Response):
    """An answer of pieces. A client that leaves ends their making; what fails in the middle is cut.

    To be made in a thread: the first piece is made here, so that what fails before it is told as a
    problem, with a status of its own.

    Args:
        streams: All streams being sent; they are broken off when the service ends.
        pieces: Makes the pieces; is closed in any case.
        media_type: Of the whole.
        headers: Beside the content type.
    """

    def __init__(
        self,
        streams: Streams,
        pieces: Generator[bytes],
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(status_code=200, headers=dict(headers), media_type=media_type)
        if "content-length" not in headers:
            del self.headers["content-length"]
        self._streams = streams
        self._pieces = pieces
        self._turn = threading.Lock()
        self._first = self._next()

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serves the request."""
        try:
            await self._streams.serve(self._play, scope, send)
        finally:
            await to_thread.run_sync(self._close)

    async def _play(self, client: Client) -> None:
        await client.begin(self.status_code, self.raw_headers)
        try:
            piece = self._first
            while piece is not None:
                await client.write(piece)
                piece = await to_thread.run_sync(self._next)
        except Exception as error:  # a fault of ours or of the database: the client has to see it
            _log.error("a download broke off: %s", type(error).__name__)
            await client.break_off()
        else:
            await client.end()

    def _next(self) -> bytes | None:
        with self._turn:
            return next(self._pieces, None)

    def _close(self) -> None:
        with self._turn:  # a piece may still be in the making when its client has left
            self._pieces.close()
