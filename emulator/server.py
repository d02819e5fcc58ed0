"""Running the emulator: in a thread for tests and demos, or blocking for the command line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol

from emulator.app import create_app
from emulator.context import Emulator
from emulator.settings import EmulatorSettings
from emulator.wire import TRANSPORT

GRACEFUL_SHUTDOWN_S = 5
"""Open runs are broken at once when the server stops; this is for whatever else may hang."""


class EmulatorServer:
    """A context manager with an emulator on a local port, served from a thread.

    It accepts connections as soon as the block is entered. Leaving the block breaks open streams,
    cancels all runs, queued ones too, and waits for the thread. One use per instance.

    Args:
        settings: Options of the emulator.
        port: The port, or 0 for a free one.
        host: The address to listen on.

    Raises:
        WorkflowFileError: on creation, a workflow definition cannot be used.
        OSError: on entering, the port cannot be bound.
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        settings = settings or EmulatorSettings()
        self._address = (host, port)
        self._queue_path = settings.queue_path
        self._server = _Server(create_app(settings), log_config=None)
        self._thread = threading.Thread(target=self._serve, name="emulator", daemon=True)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._socket = _listen(self._address)
        self._port: int = self._socket.getsockname()[1]
        self._thread.start()
        self._server.ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        """Base URL without a trailing slash; known once the block is entered."""
        if self._socket is None:
            raise RuntimeError("the emulator has not been started")
        return f"http://{self._address[0]}:{self._port}"

    @property
    def queue_url(self) -> str:
        """Base URL of the queue, in the place of ``https://queue.fal.run``."""
        return f"{self.url}{self._queue_path}"

    def _serve(self) -> None:
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._server.ready.set()
            self._socket.close()


def serve(
    host: str = "127.0.0.1", port: int = 8400, settings: EmulatorSettings | None = None
) -> None:
    """Serve until interrupted (Ctrl-C or SIGTERM); open streams are broken then.

    Raises:
        WorkflowFileError: a workflow definition cannot be used.
        OSError: the address cannot be bound.
    """
    server = _Server(create_app(settings), log_config=LOGGING_CONFIG)
    listening = _listen((host, port))
    with listening, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket whose connections send small writes at once.

    asyncio turns that on for sockets whose protocol it knows, and ``create_server`` leaves it open;
    without, the first event on a kept connection waits 40 ms for an acknowledgement.
    """
    listening = socket.create_server(address, backlog=2048)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class _Protocol(H11Protocol):
    """Hands each request its transport, without which a response cannot be broken on purpose."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = app


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens and ends the emulator's open runs when it stops."""

    def __init__(self, app: Starlette, log_config: dict[str, Any] | None) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=log_config,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        )
        super().__init__(config)
        self._emulator = cast("Emulator", app.state.emulator)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._emulator.stopping.set()
        await super().shutdown(sockets)
        await self._emulator.close()
