"""Taps: what stands beside a request to fal and records it, never in its way.

Whoever carries a request tells its tap what happens. Taps given out by `Capture` never raise and never
wait: whatever fails inside is noted in the program's log, and the caller goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from recorder import redaction
from recorder.bodies import is_event_stream
from recorder.capture.endpoints import Endpoint, sent_with
from recorder.documents import CloseReason, Mode, Opened, Source, as_text
from recorder.recording import Recording

Headers = Sequence[tuple[str, str]]


class Call(redaction.Discreet, frozen=True):
    """A request to fal about to go out.

    Attributes:
        method: In capitals.
        url: Where to, credentials and all; only its redacted form is recorded.
        endpoint: What it asks for.
        headers: As they are sent.
        body: All of it.
        parent: The run this one is a rerun of.
    """

    method: str
    url: str
    endpoint: Endpoint
    headers: Headers = ()
    body: bytes = b""
    parent: str | None = None


class Tap(Protocol):
    """Told what becomes of a request, in this order; any of the last four ends it."""

    @property
    def request_id(self) -> str | None:
        """The run's id, once upstream has told it."""

    def answered(self, status: int, headers: Headers) -> None:
        """Upstream answered with a status."""

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body, as they came; told after they were passed on."""

    def client_left(self) -> None:
        """The client is gone; the body is read to its end all the same."""

    def ended(self) -> None:
        """The body is whole."""

    def broke_off(self, reason: CloseReason, detail: str) -> None:
        """The body ended before its end."""

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        """The request went out, or may have, and no status came back."""

    def unsent(self) -> None:
        """Certainly nothing was run: the request did not reach upstream, or upstream does not know it."""


class NoTap:
    """Beside requests that are not recorded: takes everything and does nothing."""

    request_id: str | None = None

    def answered(self, status: int, headers: Headers) -> None:
        """See `Tap`."""

    def feed(self, chunk: bytes) -> None:
        """See `Tap`."""

    def client_left(self) -> None:
        """See `Tap`."""

    def ended(self) -> None:
        """See `Tap`."""

    def broke_off(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`."""

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`."""

    def unsent(self) -> None:
        """See `Tap`."""


class RunTap:
    """Beside a request whose answer is a run: a stream of events, or a plain call's answer."""

    def __init__(self, call: Call, source: Source, mode: Mode, recording: Recording) -> None:
        self._call = call
        self._source = source
        self._mode = mode
        self._recording = recording
        self._status: int | None = None

    @property
    def request_id(self) -> str | None:
        """The run's id, once upstream has answered."""
        return self._recording.request_id

    def answered(self, status: int, headers: Headers) -> None:
        """See `Tap`."""
        self._status = status
        document = opened(self._call, self._source, self._mode, status, headers)
        told = document.response_headers.get("content-type", "")
        is_call = document.mode == "call" and self._call.endpoint.is_workflow
        if is_call and is_event_stream(told):
            # The answer decides: some clients stream from an address without `/stream`.
            document = msgspec.structs.replace(document, mode="stream")
        self._recording.open(document)

    def feed(self, chunk: bytes) -> None:
        """See `Tap`."""
        self._recording.take(chunk)

    def client_left(self) -> None:
        """See `Tap`."""
        self._recording.client_left()

    def ended(self) -> None:
        """See `Tap`."""
        if self._is_refused:
            self._recording.close("refused", f"upstream answered {self._status}")
        else:
            self._recording.close("eof", whole=True, if_left="client_gone")

    def broke_off(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`."""
        if self._is_refused:
            reason, detail = "refused", f"upstream answered {self._status}, then {detail}"
        self._recording.close(reason, detail, if_left="client_gone")

    @property
    def _is_refused(self) -> bool:
        return self._status is not None and self._status >= 300

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        """See `Tap`. It may have been paid for, so there is a run, with an id of ours."""
        self._recording.open(opened(self._call, self._source, self._mode, None, ()))
        self._recording.close(reason, detail)

    def unsent(self) -> None:
        """See `Tap`."""


def opened(call: Call, source: Source, mode: Mode, status: int | None, headers: Headers) -> Opened:
    """The document a run begins with."""
    text, in_base64 = as_text(sent_with(call.method, call.url, call.body))
    named = {name.lower(): value for name, value in headers}
    return Opened(
        workflow=call.endpoint.app,
        source=source,
        mode=mode,
        upstream_request_id=named.get("x-fal-request-id"),
        url=redaction.url(call.url),
        method=call.method,
        input=text,
        input_base64=in_base64,
        request_headers=redaction.headers(call.headers),
        status=status,
        response_headers=redaction.headers(headers),
        parent=call.parent,
    )
