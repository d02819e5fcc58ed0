"""Answers no endpoint should give, and the run that is expected of each."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from recorder.events import CloseReason
from recorder.projections.runs import RunStatus
from recorder.projections.steps import Failure
from tests.builders import completion, output, submit
from tests.core.raw_server import Ending, head
from tests.trust.hostile.cases import MIB, Steps

STREAM: Final = submit("a") + completion("a") + output()
PAGE: Final = b"<!doctype html>\n\n<title>Please log in</title>\n"
DETAIL: Final = b'{"detail": "no such workflow"}'


class AnswerCase(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and what becomes of it; see `Case`.

    Attributes:
        http: The status line's text, then header lines.
        media_type: The content type.
        ending: How the connection ends.
        error: The run's failure.
    """

    body: bytes | Callable[[], bytes]
    http: tuple[str, ...] = ("200 OK",)
    media_type: str = "text/event-stream"
    ending: Ending = "close"
    status: RunStatus = "interrupted"
    reason: CloseReason = "eof"
    steps: Steps = ()
    anomalies: Mapping[str, int] = {}
    error: Failure | None = None

    def make(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else self.body()

    def head(self, request_id: str) -> bytes:
        status, *headers = self.http
        given = f"X-Fal-Request-Id: {request_id}"
        return head(status, given, *headers, media_type=self.media_type)


def _bomb() -> bytes:
    return gzip.compress(bytes(64 * MIB), compresslevel=1, mtime=0)


def _refused(status: int, body: str) -> Failure:
    return Failure(message=f"upstream answered {status}", status=status, body=body)


ANSWERS: Final = {
    "page": AnswerCase(
        body=PAGE,
        media_type="text/html",
        anomalies={"not_an_event_stream": 1, "trailing_bytes": 1},
    ),
    "json-instead": AnswerCase(
        body=DETAIL,
        media_type="application/json",
        anomalies={"not_an_event_stream": 1, "trailing_bytes": 1},
    ),
    "stream-as-text": AnswerCase(
        body=STREAM,
        media_type="text/plain",
        status="completed",
        steps=(("a", 1, "completed"),),
        anomalies={"not_an_event_stream": 1},
    ),
    "not-found": AnswerCase(
        body=DETAIL,
        http=("404 Not Found",),
        media_type="application/json",
        status="failed",
        reason="refused",
        error=_refused(404, DETAIL.decode()),
    ),
    "bad-gateway": AnswerCase(
        body=PAGE,
        http=("502 Bad Gateway",),
        media_type="text/html",
        status="failed",
        reason="refused",
        error=_refused(502, PAGE.decode()),
    ),
    "refusal-that-streams": AnswerCase(
        body=STREAM,
        http=("500 Internal Server Error",),
        status="failed",
        reason="refused",
        steps=(("a", 1, "completed"),),
        error=Failure(message="upstream answered 500", status=500),
    ),
    "gzip": AnswerCase(
        body=gzip.compress(STREAM, mtime=0),
        http=("200 OK", "Content-Encoding: gzip"),
        anomalies={"encoded_body": 1, "trailing_bytes": 1},
    ),
    "gzip-refusal": AnswerCase(
        body=b"not gzip at all",
        http=("500 Oh No", "Content-Encoding: GZIP, br"),
        status="failed",
        reason="refused",
        anomalies={"encoded_body": 1},
        error=_refused(500, "not gzip at all"),
    ),
    "identity": AnswerCase(
        body=STREAM,
        http=("200 OK", "Content-Encoding: identity"),
        status="completed",
        steps=(("a", 1, "completed"),),
    ),
    "bomb": AnswerCase(
        body=_bomb,
        http=("200 OK", "Content-Encoding: gzip"),
        anomalies={"encoded_body": 1, "trailing_bytes": 1},
    ),
    "line-without-end": AnswerCase(
        body=lambda: submit("a") + b"data: " + b"x" * 40_000_000,
        steps=(("a", 1, "unfinished"),),
        anomalies={"oversize": 1, "trailing_bytes": 1},
    ),
    "no-blank-line": AnswerCase(
        body=lambda: b"data: x\n" * (MIB // 8) + b"data: y",
        anomalies={"trailing_bytes": 1},
    ),
}
