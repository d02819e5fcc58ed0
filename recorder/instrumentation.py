"""fal's own Python client, recorded without touching the code that calls it.

    import recorder

    recorder.instrument("https://recorder.example")   # or a database's URL
    fal_client.stream("workflows/fal-ai/sdxl-sticker", arguments={…})

All clients of the process are recorded, module functions and objects made before or after: what is replaced is the
method of fal_client's two transport classes through which every request of theirs passes, with its fallback to
another domain inside. Retries pass there one by one, so each is a run of its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from types import ModuleType, TracebackType
from typing import Any, Final, Self

import httpx

from recorder.beside import AsyncTappedStream, Beside, TappedStream
from recorder.bootstrap import recording_to
from recorder.capture import Call, Capture, Endpoint, Host, Recorded, endpoint_of
from recorder.errors import NotInstrumented
from recorder.run_recorder import CLOSE_S, RunRecorder
from recorder.settings import Settings
from recorder.sources.http import DEFAULT_FAL_URL, DEFAULT_QUEUE_URL

_log = logging.getLogger(__name__)

_CLOSE_AT_EXIT_S: Final = 2.0
"""What the log has not taken by then goes to the spool: a program that wants to end does not wait."""

_changing: Final = threading.Lock()
_active: Instrumentation | None = None


def instrument(
    url: str | None = None, *, record: Recorded = "workflows", settings: Settings | None = None
) -> Instrumentation:
    """Records what this process asks of fal through `fal_client`, from now on.

    Nothing is opened yet and nothing has to be there: while database or service is away, what is recorded waits
    in the spool. A process that forks calls this in each child.

    Args:
        url: A database's SQLAlchemy URL or a recorder service's http(s) address; by default the database of
            `recorder.open`.
        record: Workflows only, calls of single apps as well, or nothing.
        settings: Where the rest comes from; by default the environment.

    Raises:
        NotInstrumented: `fal_client` is missing or too old, or is recorded already; end that first.
        LogError: The URL makes no sense, or names a missing driver.
    """
    global _active  # noqa: PLW0603  # one client library, one instrumentation
    with _changing:
        if _active is not None and _active.is_on:
            raise NotInstrumented("fal_client is recorded already; uninstrument it first")
        client = _fal_client()
        _active = Instrumentation(recording_to(url, settings=settings), client, record)
        return _active


def _fal_client() -> ModuleType:
    try:
        from fal_client import client  # optional: only here is it needed
    except ImportError:
        raise NotInstrumented("there is no fal_client: pip install fal-client") from None
    if not hasattr(client, "BackupDomainTransport"):
        raise NotInstrumented("fal_client is too old: it takes fal-client 1.0.3 or newer")
    return client


class Instrumentation:
    """fal's client being recorded; made by `instrument`. Safe to use from several threads.

    As a context manager it ends with the block.
    """

    def __init__(self, rec: RunRecorder, client: ModuleType, record: Recorded) -> None:
        self._rec = rec
        self._client = client
        self._capture = Capture(rec.new_recording, "sdk", record=record)
        self._lock = threading.Lock()  # the capture takes one thread at a time
        self._open: set[Beside] = set()
        self._process = os.getpid()
        self._is_on = True
        self._replaced = [
            _Replaced(client.BackupDomainTransport, "handle_request", self._around),
            _Replaced(
                client.AsyncBackupDomainTransport, "handle_async_request", self._around_async
            ),
        ]
        atexit.register(self.uninstrument, _CLOSE_AT_EXIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstrument()

    @property
    def is_on(self) -> bool:
        """Whether requests of this process are recorded; in a process forked from it they are not."""
        return self._is_on and os.getpid() == self._process

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Waits until all that was recorded so far is durable; returns whether that was in time."""
        return self._rec.writer.flush(timeout_s)

    def uninstrument(self, timeout_s: float = CLOSE_S) -> None:
        """Leaves the client as it was, and closes what was opened; idempotent.

        Runs under way are closed as `error` where they are; the requests themselves go on.

        Args:
            timeout_s: How long the log may take for what is on its way; the rest goes to the spool.
        """
        global _active  # noqa: PLW0603
        with _changing:
            was_on, self._is_on = self.is_on, False
            for replaced in self._replaced:
                replaced.restore()
            if _active is self:
                _active = None
        if not was_on:
            return
        atexit.unregister(self.uninstrument)
        try:
            for beside in list(self._open):
                beside.stopped()
            with self._lock:
                self._capture.close()
            self._rec.close(timeout_s)
        except Exception as error:  # whoever ends his program has done nothing wrong
            _log.error("what was recorded of fal's client may be lost: %s", type(error).__name__)

    def _around(self, send: Callable[[Any, httpx.Request], httpx.Response]) -> Any:
        @wraps(send)
        def handle_request(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._beside(request) as beside:
                response = send(transport, request)
            if beside is not None and isinstance(response.stream, httpx.SyncByteStream):
                beside.answered(response)
                response.stream = TappedStream(response, request, beside)
            return response

        return handle_request

    def _around_async(self, send: Callable[[Any, httpx.Request], Awaitable[httpx.Response]]) -> Any:
        @wraps(send)
        async def handle_async_request(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._beside(request) as beside:
                response = await send(transport, request)
            if beside is not None and isinstance(response.stream, httpx.AsyncByteStream):
                beside.answered(response)
                response.stream = AsyncTappedStream(response, request, beside)
            return response

        return handle_async_request

    @contextmanager
    def _beside(self, request: httpx.Request) -> Iterator[Beside | None]:
        """Stands beside a request until it is answered, if it is one to be recorded."""
        endpoint = self._endpoint(request)
        if endpoint is None:
            yield None
            return
        with _uncompressed(request):
            beside = self._begin(request, endpoint)
            try:
                yield beside
            except BaseException as error:
                if beside is not None:
                    beside.failed(error)
                raise

    def _endpoint(self, request: httpx.Request) -> Endpoint | None:
        """What a request asks for; None where it is not to be recorded."""
        try:
            if not self.is_on:
                return None
            address = str(request.url)
            for base, host in _bases(self._client):
                if address.startswith(base):
                    endpoint = endpoint_of(request.method, address.removeprefix(base), host)
                    return endpoint if self._capture.takes(endpoint) else None
        except Exception as error:
            _log.error("a request to fal cannot be recorded: %s", type(error).__name__)
        return None

    def _begin(self, request: httpx.Request, endpoint: Endpoint) -> Beside | None:
        try:
            call = Call(
                method=request.method,
                url=str(request.url),
                endpoint=endpoint,
                headers=request.headers.multi_items(),
                body=_body(request),
            )
            with self._lock:
                tap = self._capture.begin(call)
            # A run of one answer has nothing in common with others; what is queued has.
            lock = threading.Lock() if endpoint.kind in ("stream", "call") else self._lock
            beside = Beside(tap, lock, self._open.discard)
            self._open.add(beside)
        except Exception as error:
            _log.error("a request to fal cannot be recorded: %s", type(error).__name__)
            return None
        return beside


class _Replaced:
    """A method in another's place."""

    def __init__(self, owner: type, name: str, around: Callable[[Any], Any]) -> None:
        self._owner = owner
        self._name = name
        self._original = getattr(owner, name)
        self._replacement = around(self._original)
        setattr(owner, name, self._replacement)

    def restore(self) -> None:
        """Puts the method back, unless somebody else has replaced ours, which then does nothing."""
        if getattr(self._owner, self._name) is self._replacement:
            setattr(self._owner, self._name, self._original)


@contextmanager
def _uncompressed(request: httpx.Request) -> Iterator[None]:
    """Asks for the body as it is, for what is recorded is what comes; gives the request back unchanged."""
    asked_for = request.headers.get("accept-encoding")
    request.headers["accept-encoding"] = "identity"
    try:
        yield
    finally:
        if asked_for is None:
            del request.headers["accept-encoding"]
        else:
            request.headers["accept-encoding"] = asked_for


def _body(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:  # a stream, which can be read once only
        return b""


def _bases(client: ModuleType) -> tuple[tuple[str, Host], ...]:
    """Where fal's hosts are, as the client is set up now."""
    backups = tuple(client._BACKUP_DOMAINS.items())  # noqa: SLF001  # the client's own table
    return _all_bases(client.RUN_URL_FORMAT, client.QUEUE_URL_FORMAT, backups)


@lru_cache(maxsize=8)
def _all_bases(
    run: str, queue: str, backups: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, Host], ...]:
    """Addresses of hosts, the longest first: one may begin like another.

    fal's own are always among them, for the reply to a submit names the addresses to ask at.
    """
    named: list[tuple[httpx.URL, Host]] = [
        (httpx.URL(run), "run"),
        (httpx.URL(queue), "queue"),
        (httpx.URL(DEFAULT_FAL_URL), "run"),
        (httpx.URL(DEFAULT_QUEUE_URL), "queue"),
    ]
    stand_in = dict(backups)
    named += [
        (url.copy_with(host=stand_in[url.host]), host)
        for url, host in named
        if url.host in stand_in
    ]
    bases: set[tuple[str, Host]] = {(f"{str(url).rstrip('/')}/", host) for url, host in named}
    return tuple(sorted(bases, key=lambda base: -len(base[0])))
