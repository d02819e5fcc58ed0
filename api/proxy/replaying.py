"""Answering a request to fal from what was recorded, without calling anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from api.errors import NothingRecorded
from api.proxy.queue_urls import Rewriting
from api.replaying import Playing
from api.stage import Stage
from recorder.bootstrap import Recorder
from recorder.capture import Endpoint
from recorder.documents import Exchange, Opened, as_bytes
from recorder.errors import RunNotFound
from recorder.events import Error, LoggedEvent, Output, lift
from recorder.projections.runs import fold, new_run
from recorder.replay import Pace
from recorder.store import matches
from recorder.store.beginnings import beginning
from recorder.store.log import run_events
from recorder.store.matches import Asked

_JSON: Final = "application/json"
_REFUSAL: Final = 400
_COUNTED: Final = 1_000
_KEPT_MISSES: Final = 20


class Repertoire:
    """The recorded runs, as answers to requests. Reads the log; not for the event loop.

    Args:
        rec: Where they are.
        stage: Plays them.

    Attributes:
        misses: What was asked for lately and is not there.
    """

    def __init__(self, rec: Recorder, stage: Stage) -> None:
        self.misses: list[Asked] = []
        self._rec = rec
        self._stage = stage

    def find(self, asked: Asked) -> str | None:
        """A recorded run that fits; None for none."""
        self._rec.writer.flush()
        self._rec.projector.catch_up()
        return matches.find(self._rec.database, self._rec.log, asked)

    def must_find(self, asked: Asked) -> str:
        """A recorded run that fits.

        Raises:
            NothingRecorded: There is none.
        """
        found = self.find(asked)
        if found is None:
            self.misses = [*self.misses[-_KEPT_MISSES:], asked]
            others = sum(
                1 for _ in matches.inputs(self._rec.database, self._rec.log, asked, limit=_COUNTED)
            )
            raise NothingRecorded(
                f"no recorded run of {asked.app[:200]} has this input"
                f" ({others} with another, looking at {', '.join(asked.modes)} runs that ended"
                f" {' or '.join(asked.statuses)})"
            )
        return found

    def answer(
        self, request_id: str, endpoint: Endpoint, pace: Pace, rewriting: Rewriting | None
    ) -> ASGIApp:
        """What a run answers to a request.

        Raises:
            RunNotFound: There is no such run.
            NothingRecorded: There is, but it was called in another way, or of another app.
        """
        opened = self._opened(request_id)
        if endpoint.kind in ("stream", "call", "submit") and endpoint.app != opened.workflow:
            raise NothingRecorded(f"run {request_id} is of {opened.workflow or 'no known app'}")
        was_refused = (opened.status or 200) >= _REFUSAL
        match endpoint.kind, opened.mode:
            case ("call", "stream") if not was_refused:
                return self._final_answer(request_id)
            case ("stream" | "call", "stream" | "call"):
                playing = Playing(pace=pace, raw=True)
                return self._stage.replay(request_id, playing, cacheable=False)
            case (_, "queue"):
                return self._exchange(request_id, endpoint, rewriting)
            case _:
                raise NothingRecorded(f"run {request_id} was not called in this way")

    def _opened(self, request_id: str) -> Opened:
        run = lift(request_id) or ""
        if not self._rec.log.read_run(run, limit=1):
            raise RunNotFound(request_id)
        began = beginning(self._rec.log, run)
        if began is None:
            raise NothingRecorded(f"how run {request_id} began is not known")
        return began

    def _events(self, request_id: str) -> Iterator[LoggedEvent]:
        return run_events(self._rec.log, lift(request_id) or "")

    def _final_answer(self, request_id: str) -> Response:
        """What a plain call would have answered where only the stream was recorded."""
        events = list(self._events(request_id))
        run = fold(new_run(request_id), events)
        headers = {"x-fal-request-id": request_id}
        for logged in events:
            event = logged.event
            if isinstance(event, Output) and event.output is not None:
                return Response(event.output, headers=headers, media_type=_JSON)
            if isinstance(event, Error) and run.status == "failed" and run.error is not None:
                body = run.error.body or json.dumps({"detail": run.error.message})
                return Response(body, run.error.status or 500, headers, media_type=_JSON)
        raise NothingRecorded(f"run {request_id} has neither an output nor an error")

    def _exchange(
        self, request_id: str, endpoint: Endpoint, rewriting: Rewriting | None
    ) -> Response:
        """The last recorded answer to the same question, its addresses made ours."""
        exchanges = [
            event
            for logged in self._events(request_id)
            if isinstance(event := logged.event, Exchange)
        ]
        wanted = [each for each in exchanges if each.what == endpoint.kind and each.part == 0]
        if wanted:
            last = wanted[-1]
            body = b"".join(_bodies(exchanges, last))
            status, headers = last.status or 200, last.headers
        elif endpoint.kind in ("status", "status_stream"):
            body, status, headers = _completed(request_id), 200, {}
        else:
            raise NothingRecorded(f"nobody asked run {request_id} for this while it was recorded")
        if endpoint.kind == "status_stream" and not body.startswith(b"data:"):
            body = b"data: %s\r\n\r\n" % body
        if rewriting is not None:
            body = rewriting.rewrite(body)
        kept = {"x-fal-request-id": request_id}
        media = headers.get("content-type") or (
            "text/event-stream" if endpoint.kind == "status_stream" else _JSON
        )
        return Response(body, status, kept, media_type=media)


def _bodies(exchanges: list[Exchange], first: Exchange) -> Iterator[bytes]:
    """A body and the parts it goes on in."""
    start = next(index for index, each in enumerate(exchanges) if each is first)
    yield as_bytes(first.body, first.body_base64)
    for number, each in enumerate(exchanges[start + 1 :], 1):
        if each.what != first.what or each.part != number:
            return
        yield as_bytes(each.body, each.body_base64)


def _completed(request_id: str) -> bytes:
    status: dict[str, Any] = {"status": "COMPLETED", "request_id": request_id, "logs": None}
    return msgspec.json.encode(status)
