"""Serving the app: in a thread for demos and tests, or blocking for the command line."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import GRACE_S, create_app
from api.background import DEFAULT_LIMIT
from api.proxy.app import is_for_proxy
from api.proxy.client import CONNECTION
from api.reading import Service
from api.slow_readers import DropsSlowReaders
from recorder.bootstrap import Recorder

_BACKLOG: Final = 2048
_SWITCH_INTERVAL_S: Final = 0.0001
"""How long a busy thread may keep the event loop waiting: fifty times less than Python's default, because
streams pass through the loop while other threads write and fold (docs/performance.md)."""

_COLLECTED_AFTER: Final = 10_000
"""New objects between two garbage collections. Python's default of 700 are made by two streams, most of which
live on for the moment: looking through them again and again took a twentieth of a new stream's time."""

_BEYOND_GRACE_S: Final = 10
"""For answers to go out once the runs they wait for have been broken off."""


def serve(
    rec: Recorder,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    max_background_runs: int = DEFAULT_LIMIT,
    grace_s: float = GRACE_S,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then returns. A second SIGINT leaves open connections behind.

    Args:
        rec: What to serve; it stays open.
        host: The address to listen on.
        port: The port, or 0 for a free one.
        max_background_runs: See `create_app`.
        grace_s: See `create_app`.
        on_ready: Called with the base URL once connections are taken.

    Raises:
        OSError: The address cannot be bound.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    app = create_app(rec, host=host, max_background_runs=max_background_runs, grace_s=grace_s)
    listening = _listen(host, port)
    with listening:
        url = _url(listening)
        patience_s = rec.settings.reader_patience_s
        server = _Server(
            app, grace_s, patience_s, LOGGING_CONFIG, lambda: on_ready and on_ready(url)
        )
        with _sparing_what_is_loaded():
            server.run(sockets=[listening])


class ApiServer:
    """A context manager with the API on a local port, served from a thread.

    Connections are taken as soon as the block is entered. Leaving it lets runs under way end within
    the time of grace, breaks off the rest, and waits for the thread. One use per instance.

    Args:
        rec: What to serve; it stays open.
        port: The port, or 0 for a free one.
        host: The address to listen on.
        max_background_runs: See `create_app`.
        grace_s: See `create_app`.

    Raises:
        OSError: On entering, the address cannot be bound.
    """

    def __init__(
        self,
        rec: Recorder,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        max_background_runs: int = DEFAULT_LIMIT,
        grace_s: float = GRACE_S,
    ) -> None:
        self.app = create_app(
            rec, host=host, max_background_runs=max_background_runs, grace_s=grace_s
        )
        self._address = (host, port)
        self._ready = threading.Event()
        patience_s = rec.settings.reader_patience_s
        self._server = _Server(self.app, grace_s, patience_s, None, self._ready.set)
        self._thread = threading.Thread(target=self._serve, name="api", daemon=True)
        self._socket: socket.socket | None = None
        self._base = ""

    def __enter__(self) -> Self:
        self._socket = _listen(*self._address)
        self._base = _url(self._socket)
        self._thread.start()
        self._ready.wait()
        if not self._server.started:
            self._thread.join()
            raise RuntimeError("the API did not start; its log says why")
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
        if not self._base:
            raise RuntimeError("the API has not been started")
        return self._base

    def _serve(self) -> None:
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ready.set()
            self._socket.close()


class _Protocol(HttpToolsProtocol):
    """Hands each request its connection, without which an answer cannot be broken off.

    It is the `Connection` itself.
    """

    tells_ends_apart = True
    _on_lost: Callable[[], None] | None = None
    _is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Addresses may hold credentials. Set here: another server of the process may have given uvicorn's
        # access log its handlers back.
        self.access_log = False
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CONNECTION] = self
            await inner(scope, receive, send)

        self.app = app

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._is_lost = True
        if self._on_lost is not None:
            self._on_lost()

    def watch(self, on_lost: Callable[[], None] | None) -> None:
        self._on_lost = on_lost
        if on_lost is None:
            return
        self.flow.resume_reading()  # paused by a long body; its client's leaving is read as well
        if self._is_lost:
            on_lost()

    def cut(self) -> None:
        self.transport.close()


def _protocol(patience_s: float) -> type[asyncio.Protocol]:
    """What uvicorn speaks HTTP with, dropping readers that take nothing."""
    members: dict[str, Any] = {
        "patience_s": patience_s,
        "passes_through": staticmethod(is_for_proxy),
    }
    return type("PatientProtocol", (DropsSlowReaders, _Protocol), members)


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens, and ends the runs under way before it waits for them."""

    def __init__(
        self,
        app: FastAPI,
        grace_s: float,
        patience_s: float,
        log_config: dict[str, Any] | None,
        on_ready: Callable[[], object],
    ) -> None:
        config = uvicorn.Config(
            app,
            http=_protocol(patience_s),
            ws="none",
            lifespan="on",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=log_config,
            timeout_graceful_shutdown=math.ceil(grace_s) + _BEYOND_GRACE_S,
        )
        super().__init__(config)
        self._service: Service = app.state.service
        self._grace_s = grace_s
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.streams.stop()
        await asyncio.to_thread(self._service.console.close)
        # Beside uvicorn's own wait: requests that wait for a run end only when the run does.
        ending = asyncio.to_thread(self._service.background.close, self._grace_s)
        await asyncio.gather(ending, super().shutdown(sockets))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # uvicorn's own would raise the signal again when all is done, and that would end the
        # process before the recorder is closed.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


@contextmanager
def _sparing_what_is_loaded() -> Iterator[None]:
    """Within, keeps garbage collection from what stays for good: modules, above all.

    A full collection walks through all there is, and no stream goes on meanwhile: for 50 to 150 ms with
    what is loaded by now, for a few without. As the process ends all has to be collected, else DuckDB
    tells the user of leaks.
    """
    gc.collect()
    gc.freeze()
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECTED_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Connections inherit it. asyncio sets it only on sockets made with an explicit protocol, and
    # without it every answer of two writes waits 40 ms for the client's acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
