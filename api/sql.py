"""A query in SQL over HTTP: its body read, its answer made while somebody waits for it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Generator
from typing import IO, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from analytics.console.asked import HIGHEST, LOWEST, Answer, Form, Limits, Query
from api.download import Download
from api.errors import NotJson
from api.reading import Service
from api.request_body import media_type_of, read_limited
from recorder.errors import BadQuery
from recorder.lines import wrong_field

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
_IN_MEMORY_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 128 * 1024

MEDIA_TYPES: Final[dict[Form, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


async def read_query(request: Request) -> Query:
    """What the body asks.

    Raises:
        NotJson: The content type is another; that of JSON no page of another origin can send unasked.
        BodyTooLarge: It has more than `MAX_BODY_BYTES`.
        BadQuery: It is not what `SqlModel` documents.
    """
    if media_type_of(request) != "application/json":
        raise NotJson
    body = await read_limited(request, MAX_BODY_BYTES)
    try:
        query = msgspec.json.decode(body, type=Query)
    except RecursionError:
        raise BadQuery("body", "is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        field, reason = wrong_field(error)
        raise BadQuery(field or "body", reason) from None
    _check(query.limits)
    return query


def _check(limits: Limits) -> None:
    for name in Limits.__struct_fields__:
        lowest, highest = getattr(LOWEST, name), getattr(HIGHEST, name)
        if not lowest <= getattr(limits, name) <= highest:
            raise BadQuery(f"limits.{name}", f"is from {lowest} to {highest}")


async def answer_query(service: Service, query: Query, receive: Receive) -> Response:
    """The answer, once it is whole; until then it is in a file.

    So whatever goes wrong has a status, and a slow reader takes no query's time. A client that leaves ends the query.

    Raises:
        SqlError: There is none.
        LogUnavailable: The database does not answer.
    """
    cancelled = threading.Event()
    leaving = asyncio.ensure_future(_until_left(receive))
    working = asyncio.ensure_future(run_in_threadpool(_work, service, query, cancelled))
    try:
        await asyncio.wait([leaving, working], return_when=asyncio.FIRST_COMPLETED)
        cancelled.set()
        return await working
    finally:
        leaving.cancel()


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _work(service: Service, query: Query, cancelled: threading.Event) -> Response:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by whoever sends it
    try:
        answer = service.query(query, file, cancelled)
    except BaseException:
        file.close()
        raise
    headers = _headers(answer) | {"content-length": str(file.tell())}
    file.seek(0)
    return Download(service.streams, _pieces(file), MEDIA_TYPES[query.format], headers)


def _headers(answer: Answer) -> dict[str, str]:
    return {
        "x-as-of-position": str(answer.as_of_position),
        "x-row-count": str(answer.rows),
        "x-truncated": "true" if answer.truncated else "false",
        "x-content-type-options": "nosniff",
    }


def _pieces(file: IO[bytes]) -> Generator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
