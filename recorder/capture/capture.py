"""Which tap stands beside a request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

from recorder import redaction
from recorder.capture.endpoints import Endpoint
from recorder.capture.queue_taps import QueueTap, SubmitTap
from recorder.capture.queued import QueuedRuns
from recorder.capture.taps import Call, Headers, NoTap, RunTap, Tap
from recorder.documents import CloseReason, Exchange, Source, as_text
from recorder.recording import Recording

_log = logging.getLogger(__name__)

Recorded = Literal["workflows", "all", "none"]
_NOTHING: Final = NoTap()
_METHOD_NOT_ALLOWED: Final = 405


class Capture:
    """Gives taps, and keeps what is known of queued runs between requests.

    One thread at a time; a proxy has its event loop, and the SDK a lock.

    Args:
        start: Begins a recording; its clock starts then.
        source: What the runs tell of where their bytes come from.
        record: Workflows only, calls of single apps as well, as runs of one step, or nothing.
    """

    def __init__(
        self, start: Callable[[], Recording], source: Source, *, record: Recorded = "workflows"
    ) -> None:
        self._start = start
        self._source: Source = source
        self._record = record
        self._queued = QueuedRuns(start, source)

    def begin(self, call: Call) -> Tap:
        """The tap for a request about to go out. Never raises."""
        try:
            return _Guarded(self._begin(call), call.method)
        except Exception as error:
            _log.error("nothing is recorded of %r: %s", call, type(error).__name__)
            return _NOTHING

    def takes(self, endpoint: Endpoint) -> bool:
        """Whether a request for this is recorded."""
        if self._record == "none" or endpoint.kind == "other":
            return False
        return endpoint.is_workflow or self._record == "all"

    def _begin(self, call: Call) -> Tap:
        endpoint = call.endpoint
        if not self.takes(endpoint):
            return _NOTHING
        match endpoint.kind:
            case "stream" if endpoint.is_workflow:
                return RunTap(call, self._source, "stream", self._start())
            case "stream" | "call":
                return RunTap(call, self._source, "call", self._start())
            case "submit":
                return SubmitTap(call, self._queued, self._start())
            case "status" | "status_stream" | "result" | "cancel":
                return QueueTap(call, self._queued)
            case _:
                return _NOTHING

    def follows(self, request_id: str) -> bool:
        """Whether a queued run is known here: followed, or its end recorded."""
        return self._queued.knows(request_id)

    def webhook(self, request_id: str, body: bytes, headers: Headers) -> Recording | None:
        """Records a webhook of fal's, whose signature has been checked, on its run.

        A run that is not known here is opened. Unlike a tap this raises: fal delivers again.

        Args:
            request_id: The queued run it reports on.
            body: All of it, at most `MAX_PART_BYTES`.
            headers: As they came; what is recorded of them is redacted.

        Returns:
            The recording it went into; None where there is nothing to record, because the run's end
            is recorded already or nothing is recorded at all.
        """
        if self._record == "none":
            return None
        text, in_base64 = as_text(body)
        report = Exchange(
            what="webhook",
            method="POST",
            headers=redaction.headers(headers),
            body=text,
            body_base64=in_base64,
        )
        return self._queued.reported(request_id, report, body)

    def forget(self, request_id: str) -> None:
        """Takes a queued run for unknown: what comes about it next opens a run of its own."""
        self._queued.forget(request_id)

    def close(self) -> None:
        """Ends the recordings of queued runs that are still waited for; idempotent. Never raises."""
        try:
            self._queued.close()
        except Exception as error:
            _log.error("queued runs are left open: %s", type(error).__name__)


class _Guarded:
    """A tap that never raises: the first failure is told and ends its recording, nothing else.

    A run is begun by POST. Where upstream says of another method that it does not know it, nothing was run.
    """

    def __init__(self, tap: Tap, method: str) -> None:
        self._tap: Tap = tap
        self._method = method

    @property
    def request_id(self) -> str | None:
        return self._tap.request_id

    def answered(self, status: int, headers: Headers) -> None:
        if status == _METHOD_NOT_ALLOWED and self._method != "POST":
            self._tell(self._tap.unsent)
            self._tap = _NOTHING
        self._tell(lambda: self._tap.answered(status, headers))

    def feed(self, chunk: bytes) -> None:
        try:  # spelled out: this is the hot path
            self._tap.feed(chunk)
        except Exception as error:
            self._give_up(error)

    def client_left(self) -> None:
        self._tell(self._tap.client_left)

    def ended(self) -> None:
        self._tell(self._tap.ended)

    def broke_off(self, reason: CloseReason, detail: str) -> None:
        self._tell(lambda: self._tap.broke_off(reason, detail))

    def unanswered(self, reason: CloseReason, detail: str) -> None:
        self._tell(lambda: self._tap.unanswered(reason, detail))

    def unsent(self) -> None:
        self._tell(self._tap.unsent)

    def _tell(self, what: Callable[[], Any]) -> None:
        try:
            what()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        failed, self._tap = self._tap, _NOTHING
        with suppress(Exception):  # what has been recorded is not left behind as a run that goes on
            # The type alone: a message may quote what was sent.
            _log.error("recording %s: %s", failed.request_id, type(error).__name__)
            failed.broke_off("error", "the recorder failed")
