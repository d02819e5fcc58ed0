"""Every error as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from api import errors as own
from api import problems
from api.server import ApiServer
from recorder import errors
from recorder.bootstrap import Recorder
from tests.api.asserts import problem
from tests.api.conftest import client_of

SECRET = "id:not-to-be-told"


def tree(root: type[Exception]) -> set[type[Exception]]:
    """A class and all that derive from it."""
    return {root}.union(*(tree(each) for each in root.__subclasses__()))


def test_every_error_of_ours_has_its_own_kind() -> None:
    ours = {
        error
        for error in tree(errors.RecorderError)
        if error.__module__ in (errors.__name__, own.__name__)
    }
    assert set(problems.KINDS) == ours | {Exception}
    assert all(type(kind.example) is error for error, kind in problems.KINDS.items())


def test_an_error_that_is_not_in_the_table_counts_as_its_base() -> None:
    class Odd(errors.BadQuery):
        """A bad query of another sort."""

    assert problems.kind_of(Odd("x", "y")) is problems.KINDS[errors.BadQuery]
    assert problems.kind_of(ZeroDivisionError()) is problems.KINDS[Exception]


def test_every_error_is_answered_as_its_kind(sqlite_rec: Recorder) -> None:
    server = ApiServer(sqlite_rec)
    raised: list[Exception] = []
    _add_raiser(server.app, raised)
    with server, client_of(server) as http:
        for kind in problems.KINDS.values():
            raised[:] = [kind.example]
            response = http.get("/raise")
            document = problem(response, kind.status, kind.slug)
            assert document["title"] == kind.title
            assert document["detail"] == (kind.detail or str(kind.example))
            retry = None if kind.retry_after_s is None else str(kind.retry_after_s)
            assert response.headers.get("retry-after") == retry


def _add_raiser(app: FastAPI, raised: list[Exception]) -> None:
    @app.get("/raise")
    def raise_it() -> None:
        raise raised[0]


def test_an_unknown_address_is_a_problem(http: httpx.Client) -> None:
    for path in ("/nope", "/api/v1", "/api/v1/nope", "/healthz/", "/docs"):
        document = problem(http.get(f"{path}?key=secret"), 404)
        assert document == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "Nothing is at this address.",
            "instance": path,
        }


def test_a_method_an_address_does_not_take_is_a_problem(http: httpx.Client) -> None:
    refused = http.delete("/api/v1/runs")
    assert problem(refused, 405)["detail"] == "This address does not take DELETE."
    assert refused.headers["allow"] == "GET, POST"
    refused = http.put("/api/v1/runs/x/body")
    problem(refused, 405)
    assert refused.headers["allow"] == "GET"


def test_what_nobody_expected_is_told_without_its_message(
    sqlite_rec: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    server = ApiServer(sqlite_rec)
    _add_raiser(server.app, [RuntimeError(SECRET)])
    with caplog.at_level(logging.ERROR), server, client_of(server) as http:
        response = http.get(f"/raise?fal_jwt_token={SECRET}")
    document = problem(response, 500)
    assert document["detail"] == "The recorder failed at this; its log says where."
    assert "GET /raise: RuntimeError" in caplog.text
    assert "test_problems.py" in caplog.text
    assert SECRET not in caplog.text + response.text


def test_an_answer_that_breaks_under_way_is_cut(
    sqlite_rec: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    server = ApiServer(sqlite_rec)

    def half() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError(SECRET)

    @server.app.get("/half")
    def answer() -> StreamingResponse:
        return StreamingResponse(half())

    with server, client_of(server) as http, pytest.raises(httpx.RemoteProtocolError):
        http.get("/half")
    assert "GET /half: RuntimeError" in caplog.text
    assert SECRET not in caplog.text
