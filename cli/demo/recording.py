"""Records the planned runs, several at a time, and watches the bytes on their way independently."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final

import httpx
import msgspec

from cli.demo.plan import PlannedRun
from recorder.bootstrap import Recorder
from recorder.recording import body_part

AT_A_TIME: Final = 6


class Done(msgspec.Struct, frozen=True):
    """A run that has been recorded.

    Attributes:
        planned: What was asked for.
        request_id: The run in the log.
        body_digest: sha256 of the response's body as it came from the socket.
        body_bytes: The body's length.
    """

    planned: PlannedRun
    request_id: str
    body_digest: bytes
    body_bytes: int


class _Witness(httpx.BaseTransport):
    """Passes a client's one request on, and digests the body that comes back."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.digest = hashlib.sha256()
        self.body_bytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        stream = _Witnessed(response.stream, self._saw)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=stream,
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Leaves the inner transport open: it is shared."""

    def _saw(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.body_bytes += len(chunk)


class _Witnessed(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, saw: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._saw = saw

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._saw(chunk)
            yield chunk

    def close(self) -> None:
        self._inner.close()


def record_all(
    recorder: Recorder,
    base_url: str,
    planned: Sequence[PlannedRun],
    progress: Callable[[int], object],
) -> list[Done]:
    """Records every planned run; returns them in the order planned, all of them durable."""
    with httpx.HTTPTransport() as transport:
        pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="demo")
        try:
            futures = [pool.submit(_record, recorder, base_url, one, transport) for one in planned]
            for number, _ in enumerate(as_completed(futures), start=1):
                progress(number)
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def _record(
    recorder: Recorder, base_url: str, planned: PlannedRun, transport: httpx.BaseTransport
) -> Done:
    witness = _Witness(transport)
    with httpx.Client(transport=witness, timeout=60, headers=planned.headers) as client:
        run = recorder.workflow_run(f"{base_url}/{planned.workflow}/stream", planned.body, client)
        for _ in run:
            pass
    run.recording.wait()
    request_id = run.recording.request_id
    assert request_id is not None
    return Done(planned, request_id, witness.digest.digest(), witness.body_bytes)


def same_bytes(recorder: Recorder, done: Done) -> bool:
    """Whether the log holds this run's body exactly as it came from the socket."""
    digest = hashlib.sha256()
    for logged in recorder.events(done.request_id):
        digest.update(body_part(logged))
    return digest.digest() == done.body_digest
