"""The SQL console."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api import examples, openapi
from api.errors import BodyTooLarge, NotJson
from api.reading import ServiceOf
from api.sql import answer_query, read_query
from api.sql_models import SqlAnswerModel, body_schema
from recorder.errors import (
    BadQuery,
    BadSql,
    SqlCancelled,
    SqlCrashed,
    SqlLimit,
    TooManyQueries,
)

router = APIRouter(prefix="/api/v1/sql", tags=["sql"])

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": body_schema(),
                "example": examples.SQL,
            }
        },
    }
}


@router.post(
    "",
    summary="Ask in SQL",
    description="Answers one statement that reads, over the views `runs`, `steps` and `events`, in a process "
    "of its own that reaches nothing else. In the format asked for; CSV, Parquet and Arrow come with "
    "`x-as-of-position`, `x-row-count` and `x-truncated` as headers. A client that leaves ends its query.",
    response_model=SqlAnswerModel,
    responses=openapi.answers(
        200,
        "SQL_ANSWER",
        BadQuery,
        BadSql,
        SqlLimit,
        SqlCrashed,
        SqlCancelled,
        TooManyQueries,
        NotJson,
        BodyTooLarge,
    ),
    openapi_extra=_BODY,
)
async def ask(request: Request, service: ServiceOf) -> Response:
    """The answer."""
    query = await read_query(request)
    return await answer_query(service, query, request.receive)
