"""Queries read as a model in one go, for routes that are asked often.

FastAPI looks at every field of the model for every request, which takes 0.2 ms. What it documents and what
it refuses stay the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

_Model = TypeVar("_Model", bound=BaseModel)


def reading(kind: type[_Model]) -> Callable[[Request], Awaitable[_Model]]:
    """A dependency that reads the query; the route has to document it, see `documented`.

    Raises:
        RequestValidationError: When called, as FastAPI does: the query is not such a model.
    """

    async def read(request: Request) -> _Model:
        try:
            return kind.model_validate(dict(request.query_params))
        except ValidationError as error:
            problems = [each | {"loc": ("query", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(problems) from None

    return read


def documented(kind: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its query so: FastAPI's own words."""
    app = FastAPI()

    def route(wanted: Any) -> None: ...

    route.__annotations__["wanted"] = Annotated[kind, Query()]
    app.get("/")(route)
    return {"parameters": app.openapi()["paths"]["/"]["get"]["parameters"]}
