"""Runs: list them, look at one, read what was recorded, start another."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api import answers, cursor, events_json, examples, openapi, queries
from api.background import BackgroundRun
from api.errors import BodyTooLarge, HostRefused, NotJson, ServiceStopping, TooManyRuns
from api.hosts import check_host
from api.models import EventPageModel, RerunModel, RunModel, RunPageModel, StartModel
from api.parameters import EventsParameters, RunId, RunsParameters
from api.reading import Service, ServiceOf
from api.run_documents import WirePage, wire_run
from api.start_body import read_rerun, read_start
from recorder.errors import (
    BadQuery,
    BadTarget,
    MissingKey,
    NotRerunnable,
    ProjectionFailed,
    RunNotFound,
    UpstreamUnreachable,
)
from recorder.store.views import ONE_AT_A_TIME

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])

_DOWNLOAD: Final = {
    "content-disposition": 'attachment; filename="body.sse"',
    "x-content-type-options": "nosniff",
}
_BODY: Final[openapi.Responses] = {
    200: {
        "description": "The bytes",
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "example": examples.BODY,
            }
        },
    }
}


def _request_body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema(), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


_START: Final = _request_body(StartModel, examples.START)
_RERUN: Final = _request_body(RerunModel, examples.RERUN)
_STARTED: Final = openapi.answers(
    202,
    "RUNNING",
    BadQuery,
    BadTarget,
    BodyTooLarge,
    NotJson,
    UpstreamUnreachable,
    MissingKey,
    TooManyRuns,
    ServiceStopping,
)
_ENDED: Final[openapi.Responses] = {
    200: openapi.good("RUN") | {"description": "The run has ended (`wait`)", "model": RunModel}
}


@router.get(
    "",
    summary="List runs",
    description="Newest first, with their steps. All filters have to hold.",
    response_model=RunPageModel,
    responses=openapi.answers(200, "RUN_PAGE", BadQuery),
    openapi_extra=queries.documented(RunsParameters),
)
def list_runs(
    service: ServiceOf, wanted: Annotated[RunsParameters, Depends(queries.reading(RunsParameters))]
) -> Response:
    """A page of runs."""
    before = cursor.decode(wanted.cursor)
    page = service.runs(wanted.to_filter(), limit=wanted.limit, before=before)
    with ONE_AT_A_TIME:
        return answers.document(
            WirePage(
                [wire_run(run) for run in page.runs],
                cursor.encode(page.next_before),
                page.as_of_position,
            )
        )


@router.post(
    "",
    status_code=202,
    summary="Run a workflow",
    description="Starts the workflow and records it. Answers once upstream has answered with a "
    "status and the run is in the log for good; with `wait`, once it has ended. A run that upstream "
    "refuses is recorded as failed and returned like any other. The run goes on when the client "
    "leaves.",
    response_description="The run is under way",
    response_model=RunModel,
    responses=_STARTED | openapi.problems(HostRefused) | _ENDED,
    dependencies=[Depends(check_host)],
    openapi_extra=_START,
)
async def start_run(request: Request, service: ServiceOf) -> Response:
    """Starts a run; waits on the event loop, so that waiting takes no thread from others."""
    wanted = await read_start(request)
    started = await run_in_threadpool(service.start, wanted.workflow, bytes(wanted.input))
    return await _started(service, started, wait=wanted.wait)


@router.post(
    "/{request_id:path}/rerun",
    status_code=202,
    summary="Run a recorded run again",
    description="Starts the run's workflow again with the same input, some fields changed where that is "
    "asked for; answers like a start. The new run's `parent` is the old one. A run that went through "
    "the queue is started for its stream.",
    response_description="The run is under way",
    response_model=RunModel,
    responses=_STARTED | openapi.problems(RunNotFound, NotRerunnable, HostRefused) | _ENDED,
    dependencies=[Depends(check_host)],
    openapi_extra=_RERUN,
)
async def rerun(request: Request, service: ServiceOf, request_id: RunId) -> Response:
    """Starts the run again; waits like `start_run`."""
    wanted = await read_rerun(request)
    started = await run_in_threadpool(service.rerun, request_id, wanted.set)
    return await _started(service, started, wait=wanted.wait)


async def _started(service: Service, started: BackgroundRun, *, wait: bool) -> Response:
    """The answer for a run that was started, once it is recorded or has ended."""
    await asyncio.wrap_future(started.begun)
    if wait:
        await asyncio.wrap_future(started.ended)
    run = await run_in_threadpool(service.recorded, started)
    location = {"location": answers.path_of_run(run.request_id)}
    return answers.json(RunModel.of(run), 200 if wait else 202, location)


@router.get(
    "/{request_id:path}/events",
    summary="Read a run's events",
    description="In order, payloads byte for byte as received; the recorder's own `opened` (input, "
    "status, headers) and `closed` events included.",
    response_model=EventPageModel,
    responses=openapi.answers(200, "EVENT_PAGE", BadQuery, RunNotFound),
)
def read_events(
    service: ServiceOf, request_id: RunId, wanted: Annotated[EventsParameters, Query()]
) -> Response:
    """A page of events."""
    page = service.events(request_id, after=wanted.after, limit=wanted.limit)
    body = events_json.encode(request_id, page, frames=wanted.frames)
    return Response(body, media_type="application/json")


@router.get(
    "/{request_id:path}/body",
    summary="Download a run's body",
    description="The exact bytes of the stream's body, as far as it has been received. Where a "
    "frame has been erased or lost the answer is cut short, not closed.",
    response_class=Response,
    responses=_BODY | openapi.problems(BadQuery, RunNotFound, *openapi.EVERYWHERE),
)
def read_body(service: ServiceOf, request_id: RunId) -> Response:
    """The body as received."""
    body = service.body(request_id)
    return StreamingResponse(body, headers=_DOWNLOAD, media_type="application/octet-stream")


@router.get(
    "/{request_id:path}",
    summary="Show a run",
    description="The run with its steps, as of now.",
    response_model=RunModel,
    responses=openapi.answers(200, "RUN", BadQuery, RunNotFound, ProjectionFailed),
)
def show_run(service: ServiceOf, request_id: RunId) -> Response:
    """One run."""
    return answers.json(RunModel.of(service.run(request_id)))
