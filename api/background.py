"""Runs the API starts: each in a thread of its own, recorded to its end.

A run costs money and cannot be had twice, so it goes on when the client that asked for it leaves. Only
the end of the service breaks it off, after a time of grace; it is then closed as `client_gone`.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import Any, Final

import httpx

from api.errors import ServiceStopping, TooManyRuns
from recorder.bootstrap import Recorder
from recorder.documents import Mode
from recorder.errors import RecorderError
from recorder.recording import Recording
from recorder.runner import WorkflowRun
from recorder.sources.http import new_client

_log = logging.getLogger("api")

DEFAULT_LIMIT: Final = 64
_BREAK_OFF_S: Final = 5.0
_DURABLE_S: Final = 30.0


class BackgroundRun:
    """A run under way.

    Attributes:
        begun: Set once the run is on its way into the log, upstream having answered with a status;
            or the error that came instead.
        ended: Set when nothing more will be recorded.
    """

    def __init__(self, run: WorkflowRun) -> None:
        self.begun: Future[None] = Future()
        self.ended: Future[None] = Future()
        # Nobody who waits for them can cancel them.
        self.begun.set_running_or_notify_cancel()
        self.ended.set_running_or_notify_cancel()
        self._run = run
        self._connection: Any = None
        self._broken_off = threading.Event()

    @property
    def recording(self) -> Recording:
        """What is recorded of it."""
        return self._run.recording

    def durable_id(self) -> str:
        """The run's id, once what was recorded so far is in the log for good.

        Raises:
            LogUnavailable: It is not, and the run goes on all the same.
            LogError: It cannot be.
        """
        self.recording.wait(_DURABLE_S)
        assert self.recording.request_id is not None
        return self.recording.request_id

    def record(self) -> None:
        """Runs the workflow to its end. Never raises."""
        error: Exception | None = None
        try:
            for _ in self._run:
                pass
        except Exception as raised:
            error = ServiceStopping() if self._broken_off.is_set() else raised
        finally:
            # Where the run has not been closed by how it ended, it is now; same thread, so safe.
            self.recording.close("client_gone", type(error).__name__)
            self._settle(error)

    def break_off(self) -> None:
        """Wakes the run's thread where it waits for upstream, and lets it end there."""
        self._broken_off.set()
        self._hang_up()
        if self._connection is None:
            self._set_begun(ServiceStopping())  # it waits where nobody can wake it

    def watch(self, request: httpx.Request) -> None:
        """Notes the connection a request goes out on, so that it can be hung up."""
        request.extensions["trace"] = self._trace

    def receive(self, response: httpx.Response) -> None:
        """Puts itself between the answer's bytes and the recording."""
        self._connected(response.extensions["network_stream"])
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Watched(self, response.stream)

    def chunks(self, stream: httpx.SyncByteStream) -> Iterator[bytes]:
        """The answer's bytes. Asked for only once the recording is open, which this tells."""
        self._set_begun(None)
        try:
            yield from stream
        except Exception:
            self._check()
            raise
        self._check()  # a connection that was hung up may look like the end of the body

    def _trace(self, _event: str, info: dict[str, Any]) -> None:
        # Of all that httpcore tells, only a new connection (TCP, then TLS) has this method.
        if hasattr(info.get("return_value"), "get_extra_info"):
            self._connected(info["return_value"])

    def _connected(self, connection: Any) -> None:
        self._connection = connection
        self._check()

    def _check(self) -> None:
        if self._broken_off.is_set():
            raise ServiceStopping

    def _hang_up(self) -> None:
        if self._connection is None:
            return
        with suppress(OSError):  # gone already
            # Not close(), which leaves a thread that reads waiting; and not the method of
            # ssl.SSLSocket, which takes the session from under that thread.
            raw: socket.socket = self._connection.get_extra_info("socket")
            socket.socket.shutdown(raw, socket.SHUT_RDWR)

    def _settle(self, error: Exception | None) -> None:
        if error is not None and not isinstance(error, RecorderError):
            _log.error("run %s: %s", self.recording.request_id, type(error).__name__)
        self._set_begun(error)
        with suppress(Exception):  # whatever it is, the writer goes on or has told
            if self.recording.request_id is not None:
                self.recording.wait(_DURABLE_S)
        self.ended.set_result(None)

    def _set_begun(self, error: Exception | None) -> None:
        with suppress(InvalidStateError):  # the first to tell is right
            if error is None:
                self.begun.set_result(None)
            else:
                self.begun.set_exception(error)


class _Watched(httpx.SyncByteStream):
    """The bytes of an answer, as its run takes them."""

    def __init__(self, run: BackgroundRun, stream: httpx.SyncByteStream) -> None:
        self._run = run
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return self._run.chunks(self._stream)

    def close(self) -> None:
        self._stream.close()


class BackgroundRuns:
    """Starts runs, and ends with the service.

    Args:
        rec: Where they are recorded.
        limit: How many may be under way at the same time.
    """

    def __init__(self, rec: Recorder, *, limit: int = DEFAULT_LIMIT) -> None:
        self._rec = rec
        self._limit = limit
        self._client = new_client()
        self._client.event_hooks = {"request": [self._requested], "response": [self._answered]}
        self._running: set[BackgroundRun] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._here = threading.local()  # the run of the thread, for the client's hooks

    def start(
        self, workflow: str, body: bytes, *, mode: Mode = "stream", parent: str | None = None
    ) -> BackgroundRun:
        """Starts a workflow and returns at once; the arguments are those of `Recorder.workflow_run`.

        Raises:
            BadTarget: It is no workflow id.
            MissingKey: The endpoint is fal's and there is no key.
            TooManyRuns: The limit is reached.
            ServiceStopping: `close` has been called.
        """
        run = BackgroundRun(
            self._rec.workflow_run(workflow, body, self._client, mode=mode, parent=parent)
        )
        with self._lock:
            if self._stopping:
                raise ServiceStopping
            if len(self._running) >= self._limit:
                raise TooManyRuns(self._limit)
            self._running.add(run)
        # A daemon: a thread that upstream never lets go must not keep the process from ending.
        threading.Thread(target=self._record, args=(run,), name="run", daemon=True).start()
        return run

    def close(self, grace_s: float) -> None:
        """Lets runs under way end by themselves, breaks off what is left, and takes no more.

        What was recorded is durable on return, as far as the log is available. Idempotent.
        """
        with self._lock:
            self._stopping = True
            running = list(self._running)
        wait([run.ended for run in running], grace_s)
        left = [run for run in running if not run.ended.done()]
        for run in left:
            run.break_off()
        stuck = wait([run.ended for run in left], _BREAK_OFF_S).not_done
        if stuck:
            _log.error("%d runs could not be broken off", len(stuck))
        self._client.close()

    def _record(self, run: BackgroundRun) -> None:
        self._here.run = run
        run.record()
        with self._lock:
            self._running.discard(run)

    def _requested(self, request: httpx.Request) -> None:
        self._here.run.watch(request)

    def _answered(self, response: httpx.Response) -> None:
        self._here.run.receive(response)
