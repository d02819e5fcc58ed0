"""Is it alive, is it ready, and where is what."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import anyio
from anyio import to_thread
from fastapi import APIRouter, Response

from api import answers, openapi
from api.models import HealthModel, IndexModel
from api.reading import Progress, Service, ServiceOf
from recorder.errors import LogUnavailable, ProjectionFailed

router = APIRouter(tags=["health"])

_LINKS: Final = {
    "runs": "/api/v1/runs",
    "latency": "/api/v1/latency",
    "openapi": "/api/v1/openapi.json",
    "health": "/healthz",
    "readiness": "/readyz",
    "metrics": "/metrics",
}
_PATIENCE_S: Final = 2.0
"""A database that hangs must not make a living process look dead."""


@router.get(
    "/healthz",
    summary="Is the process alive",
    description="200 as long as the process can answer at all, the database silent or not.",
    response_model=HealthModel,
    responses=openapi.answers(200, "HEALTH"),
)
async def healthz(service: ServiceOf) -> Response:
    """Alive; on the event loop, which needs no free thread to say so."""
    progress = Progress()
    with anyio.move_on_after(_PATIENCE_S):
        progress = await to_thread.run_sync(service.progress, abandon_on_cancel=True)
    return answers.json(_health(service, progress))


@router.get(
    "/readyz",
    summary="Is the service ready",
    description="200 while the log answers and the projection works, else 503.",
    response_model=HealthModel,
    responses=openapi.answers(200, "HEALTH", ProjectionFailed),
)
async def readyz(service: ServiceOf) -> Response:
    """Ready, or the problem that keeps it from being so."""
    with anyio.move_on_after(_PATIENCE_S):
        progress = await to_thread.run_sync(service.check_ready, abandon_on_cancel=True)
        return answers.json(_health(service, progress))
    raise LogUnavailable("the database takes too long")


@router.get(
    "/",
    summary="Where things are",
    description="Links to the API's entry points.",
    response_model=IndexModel,
    responses=openapi.answers(200, "INDEX"),
)
def index() -> Response:
    """The links."""
    known = version("fal-flight-recorder")
    return answers.json(IndexModel(name="fal flight recorder", version=known, links=_LINKS))


def _health(service: Service, progress: Progress) -> HealthModel:
    head, projected = progress.log_position, progress.projection_position
    failure = service.projection_failure
    return HealthModel(
        status="ok",
        log_position=head,
        projection_position=projected,
        lag_events=None if head is None or projected is None else head - projected,
        columns_position=progress.columns_position,
        columns_failure=service.columns.failure,
        projection_failure=None if failure is None else f"before position {failure.position}",
    )
