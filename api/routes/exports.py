"""Runs, steps and events as files."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from analytics.exporting import Format, Relation
from api import openapi
from api.download import Download
from api.parameters import ExportParameters
from api.reading import ServiceOf
from recorder.errors import BadQuery

router = APIRouter(prefix="/api/v1/export", tags=["exports"])

MEDIA_TYPES: Final[dict[Format, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
}
_CONTENT: Final[dict[str, Any]] = {
    "application/vnd.apache.parquet": {
        "schema": {"type": "string", "format": "binary"},
        "example": "PAR1…",
    }
}
_FILE: Final[openapi.Responses] = {200: {"description": "The file", "content": _CONTENT}}


@router.get(
    "/{relation}",
    summary="Export runs, steps or events",
    description="All rows that belong to the selected runs, as a file: Parquet, CSV (safe to open in a "
    "spreadsheet), NDJSON or an Arrow stream, written as it is sent. `x-as-of-position` is the log position "
    "it is derived from. An answer that breaks off is cut, never ended.",
    response_class=Response,
    responses=_FILE | openapi.problems(BadQuery, *openapi.EVERYWHERE),
)
def export(
    service: ServiceOf,
    relation: Annotated[Relation, Path(description="Which rows.")],
    wanted: Annotated[ExportParameters, Query()],
) -> Response:
    """The file, written as it is sent."""
    made = service.export_rows(relation, wanted.format, wanted.to_selection())
    headers = {
        "content-disposition": f'attachment; filename="{relation}.{wanted.format}"',
        "x-as-of-position": str(made.as_of_position),
        "x-content-type-options": "nosniff",
    }
    return Download(service.streams, made.pieces(), MEDIA_TYPES[wanted.format], headers)
