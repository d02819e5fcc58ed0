"""Streams: play a run again, follow the log live."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import examples, openapi
from api.following import Follower
from api.parameters import FollowParameters, ReplayParameters, RunId, once
from api.reading import ServiceOf
from recorder.errors import BadQuery, RunNotFound

router = APIRouter(prefix="/api/v1", tags=["streams"], dependencies=[Depends(once)])


def _stream(example: str) -> openapi.Responses:
    schema = {"type": "string", "format": "event-stream"}
    content = {"text/event-stream": {"schema": schema, "example": example}}
    return {200: {"description": "The stream", "content": content}}


LastEventId = Annotated[
    str | None, Header(description="The last id that was received; the stream goes on after it.")
]


@router.get(
    "/runs/{request_id:path}/stream",
    summary="Replay a run",
    description="The run's stream again, at its own pace or another: well-formed blocks whose `id` is "
    "the event's `seq`, or with `raw` the exact bytes with status and faults. A run still going on is "
    "followed to its end. The stream of a closed run never changes, and says so.",
    response_class=Response,
    responses=_stream(examples.REPLAY)
    | openapi.problems(BadQuery, RunNotFound, *openapi.EVERYWHERE),
)
def replay_run(
    service: ServiceOf,
    request_id: RunId,
    request: Request,
    wanted: Annotated[ReplayParameters, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """The run, played."""
    playing = wanted.to_playing(last_event_id)
    return _Stream(service.replay(request_id, playing, request.headers.get("if-none-match")))


@router.get(
    "/events",
    summary="Follow the log",
    description="Every event of every run above a position, each once, then those that come. The `id` "
    "of a block is the event's position, its type the event's; `data` is the event as in "
    "`/runs/{request_id}/events`, with the run's id. All filters have to hold.",
    response_class=Response,
    responses=_stream(examples.FOLLOWING) | openapi.problems(BadQuery, *openapi.EVERYWHERE),
)
def follow_log(
    service: ServiceOf,
    wanted: Annotated[FollowParameters, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """The log, followed."""
    after = wanted.position(last_event_id)
    follower = Follower(service.live, service.streams, wanted.to_filter(), after)
    return _Stream(follower)


class _Stream(Response):
    """An answer that is an ASGI app of its own."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request."""
        await self._app(scope, receive, send)
