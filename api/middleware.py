"""What stands around the routes: paths as they were written, and an end to every exception."""

from __future__ import annotations

import logging
import traceback
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems

_log = logging.getLogger("api")

_RUNS: Final = "/api/v1/runs/"


class EncodedRunPaths:
    """Routes below `/api/v1/runs/` on the path as it was written, percent-encoded.

    A request id may hold a slash. Decoded, `a%2Fevents` would be the events of the run `a`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] == "http" and scope.get("raw_path"):
            written = scope["raw_path"].partition(b"?")[0].decode("latin-1")
            if written.startswith(scope.get("root_path", "") + _RUNS):
                scope = {**scope, "path": written}
        await self._app(scope, receive, send)


class LastResort:
    """Turns what nobody caught into a problem, and notes where it came from.

    Only the type and the place reach the program's log: messages of drivers and libraries may quote
    parameters, addresses, or what a client sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _note(scope, error)
            if not started:
                await problems.answer(error, scope)(scope, receive, send)
            # An answer under way is left unfinished: the server then cuts the connection.


def _note(scope: Scope, error: Exception) -> None:
    places = "".join(traceback.format_tb(error.__traceback__))
    path = problems.instance_of(scope)
    _log.error("%s %s: %s\n%s", scope["method"], path, type(error).__name__, places)
