"""Definitions of workflows."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Response

from api import openapi
from api.reading import ServiceOf
from recorder.errors import BadQuery, DefinitionNotFound

router = APIRouter(prefix="/api/v1/definitions", tags=["definitions"])

Digest = Annotated[
    str,
    Path(pattern="^[0-9a-f]{64}$", description="What a run has as its `definition`."),
]
IfNoneMatch = Annotated[
    str | None, Header(description="ETags the client has; of one of them, nothing is sent again.")
]
_DEFINITION: Final[openapi.Responses] = {
    200: {
        "description": "The definition",
        "content": {"application/json": {"schema": {}, "example": "DEFINITION"}},
    }
}


@router.get(
    "/{digest}",
    summary="Read a workflow's definition",
    description="As canonical JSON, whose sha256 the digest is; it never changes. Of a "
    "workflow run by its id, what fal's editor calls `contents`; of `workflows/execute`, the "
    "`workflow` that was sent.",
    response_class=Response,
    responses=_DEFINITION | openapi.problems(BadQuery, DefinitionNotFound, *openapi.EVERYWHERE),
)
def show_definition(
    service: ServiceOf, digest: Digest, if_none_match: IfNoneMatch = None
) -> Response:
    """A definition as it is kept."""
    definition = service.definition(digest)
    etag = f'"{digest}"'
    headers: dict[str, Any] = {
        "etag": etag,
        "cache-control": "private, max-age=31536000, immutable",
    }
    if if_none_match is not None and (if_none_match.strip() == "*" or etag in if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(definition, headers=headers, media_type="application/json")
