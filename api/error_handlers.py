"""Every error of an app's routes, its parameters and its addresses, answered as a problem."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api import problems
from api.problems import FieldProblem, Problem
from recorder import errors


def install(app: FastAPI) -> None:
    """Makes an app answer every error by the table. `app.state.routes` are its routes."""
    app.add_exception_handler(errors.RecorderError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)


async def _answer_ours(request: Request, error: Exception) -> Response:
    return problems.answer(error, request.scope)


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [_field_problem(each) for each in error.errors()]
    kind = problems.KINDS[errors.BadQuery]
    return problems.response(
        Problem(
            type=kind.type,
            title=kind.title,
            status=kind.status,
            detail="; ".join(f"{each.field}: {each.detail}" for each in fields),
            instance=problems.instance_of(request.scope),
            errors=fields,
        )
    )


def _field_problem(error: Any) -> FieldProblem:
    # loc is ("query", name, …). What was sent is not told back: it may be a secret in a wrong place.
    field = ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])
    return FieldProblem(field=field[:200], detail=error["msg"].removeprefix("Value error, "))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    details = {
        404: "Nothing is at this address.",
        405: f"This address does not take {request.method}.",
    }
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = _allowed(request) or headers["allow"]
    problem = Problem(
        type="about:blank",
        title=status.phrase,
        status=status,
        detail=details.get(status, status.description or status.phrase),
        instance=problems.instance_of(request.scope),
    )
    return problems.response(problem, headers)


def _allowed(request: Request) -> str:
    """All methods of the address; the error itself knows those of the first route only."""
    methods: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))
