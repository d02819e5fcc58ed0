"""Numbers for a monitor."""

from __future__ import annotations

from typing import Any, Final

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request, Response

from api import examples, openapi
from api.metrics import MEDIA_TYPE, Family, Metrics, exposition

router = APIRouter(tags=["health"])

_PATIENCE_S: Final = 8.0
"""Prometheus waits for ten."""

_CONTENT: Final[dict[str, Any]] = {
    MEDIA_TYPE: {"schema": {"type": "string"}, "example": examples.METRICS}
}
_TEXT: Final[openapi.Responses] = {200: {"description": "The metrics", "content": _CONTENT}}


@router.get(
    "/metrics",
    summary="Numbers to watch",
    description="Counts and lags in Prometheus' text format. Always 200: while the log is silent "
    "`recorder_log_up` is 0, or missing where it hangs, and so is what the log would tell.",
    response_class=Response,
    responses=_TEXT | openapi.problems(*openapi.EVERYWHERE),
)
async def metrics(request: Request) -> Response:
    """The metrics; those of the process are told even if the database hangs."""
    known: Metrics = request.app.state.metrics
    of_log: list[Family] = []
    with anyio.move_on_after(_PATIENCE_S):
        of_log = await to_thread.run_sync(lambda: [*known.of_log()], abandon_on_cancel=True)
    of_process = known.of_process(request.app.state.proxy.passing)
    return Response(exposition(iter([*of_process, *of_log])), media_type=MEDIA_TYPE)
