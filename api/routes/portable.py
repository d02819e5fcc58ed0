"""Runs that travel: out as a portable file, and in."""

from __future__ import annotations

import tempfile
from typing import IO, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import answers, openapi
from api.errors import BodyTooLarge, NotZip
from api.models import ImportedRunModel, ImportsModel
from api.parameters import RunId
from api.reading import ServiceOf
from api.request_body import chunks_of, media_type_of
from recorder.errors import BadQuery, BadRunFile, RunConflict, RunNotFound

router = APIRouter(prefix="/api/v1", tags=["portable runs"])

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
_IN_MEMORY_BYTES: Final = 1024 * 1024
_ZIP: Final = "application/zip"
_BINARY: Final[dict[str, Any]] = {
    _ZIP: {"schema": {"type": "string", "format": "binary"}, "example": "PK…"}
}
_FILE: Final[openapi.Responses] = {200: {"description": "The file", "content": _BINARY}}
_DOWNLOAD: Final = {
    "content-disposition": 'attachment; filename="run.run.zip"',
    "x-content-type-options": "nosniff",
}


@router.get(
    "/runs/{request_id:path}/export",
    summary="Export a run",
    description="The run as a portable file: bytes, times and what proves them, as docs/portable-runs.md "
    "describes. Of a run under way, what came so far.",
    response_class=Response,
    responses=_FILE | openapi.problems(BadQuery, RunNotFound, *openapi.EVERYWHERE),
)
def export_run(service: ServiceOf, request_id: RunId) -> Response:
    """The file, written as it is sent."""
    return StreamingResponse(service.export(request_id), headers=_DOWNLOAD, media_type=_ZIP)


@router.post(
    "/imports",
    summary="Import runs",
    description="Takes in the runs of a portable file: all of them or none, each as it was recorded. Runs "
    "that are in the log already are left as they are.",
    response_model=ImportsModel,
    responses=openapi.answers(200, "IMPORTS", BadRunFile, RunConflict, BodyTooLarge, NotZip),
    openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
)
async def import_runs(request: Request, service: ServiceOf) -> Response:
    """Takes the file in, then its runs."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        await _receive(request, file)
        copied = await run_in_threadpool(service.import_runs, file)
    imported = [ImportedRunModel.model_validate(run) for run in copied]
    return answers.json(ImportsModel(imported=imported))


async def _receive(request: Request, file: IO[bytes]) -> None:
    """Puts the body into a file.

    Raises:
        NotZip: The content type is another; that of a zip no page of another origin can send unasked.
        BodyTooLarge: It has more than `MAX_FILE_BYTES`.
    """
    if media_type_of(request) != _ZIP:
        raise NotZip
    async for chunk in chunks_of(request, MAX_FILE_BYTES):
        await run_in_threadpool(file.write, chunk)
