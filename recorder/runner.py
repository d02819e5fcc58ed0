"""Running workflows through the recorder: the request goes out, the stream comes in, both are kept."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from recorder import redaction
from recorder.clock import Clock
from recorder.definitions import Definitions
from recorder.documents import as_text
from recorder.events import Opened, WireEvent
from recorder.recording import Recording
from recorder.sources.http import Answer, Target, post, request_headers
from recorder.writer import LogWriter


class WorkflowRun:
    """A run under way: iterate for its events, as they come.

    The run is in the log as soon as upstream has answered with a status; before that nothing is
    known to have happened, and nothing is recorded.

    Args:
        writer: Appends what is recorded.
        target: What to call.
        body: With what.
        client: Sends the request.
        parent: The run this one is a rerun of.
        clock: For stamps; another one in tests.

    Attributes:
        recording: What is being recorded; its `request_id` is set once iteration has begun.
        status: Upstream's HTTP status; None before it is known.
        end: How the stream ended where not by its own end: the exception's name.
    """

    def __init__(
        self,
        writer: LogWriter,
        target: Target,
        body: bytes,
        client: httpx.Client,
        *,
        parent: str | None = None,
        clock: Clock | None = None,
        definitions: Definitions | None = None,
    ) -> None:
        self.recording = Recording(writer, clock=clock, definitions=definitions)
        self.status: int | None = None
        self.end: str | None = None
        self._target = target
        self._body = body
        self._client = client
        self._parent = parent
        self._sent = False

    def __iter__(self) -> Iterator[WireEvent]:
        """Sends the request and yields the events; once only, for every run is paid for.

        A cut connection ends the iteration, with its name in `end`.

        Raises:
            UpstreamUnreachable: No answer with a status came.
            RuntimeError: This run has been started before.
        """
        if self._sent:
            raise RuntimeError("this run has been started; make another one")
        self._sent = True
        with post(self._client, self._target, self._body) as answer:
            self.status = answer.status
            self.recording.open(_opened(self._target, self._body, answer, self._parent))
            if answer.status >= 300:
                self._record_refusal(answer)
                return
            yield from self._record_stream(answer)

    def _record_stream(self, answer: Answer) -> Iterator[WireEvent]:
        recording = self.recording
        try:
            for chunk in answer.chunks:
                yield from recording.feed(chunk)
        except httpx.HTTPError as error:
            self.end = type(error).__name__
            recording.close("cut", self.end)
        except BaseException as error:
            recording.close("client_gone", type(error).__name__)
            raise
        recording.close("eof")

    def _record_refusal(self, answer: Answer) -> None:
        detail = f"upstream answered {answer.status}"
        try:
            for chunk in answer.chunks:
                self.recording.feed(chunk)
        except httpx.HTTPError as error:
            detail = f"{detail}, then {type(error).__name__}"
        finally:
            self.recording.close("refused", detail)


def _opened(target: Target, body: bytes, answer: Answer, parent: str | None) -> Opened:
    text, in_base64 = as_text(body)
    return Opened(
        workflow=target.workflow,
        source="http",
        mode=target.mode,
        upstream_request_id=answer.request_id,
        url=redaction.url(target.url),
        method="POST",
        input=text,
        input_base64=in_base64,
        request_headers=redaction.headers(request_headers(target).items()),
        status=answer.status,
        response_headers=redaction.headers(answer.headers),
        parent=parent,
    )
