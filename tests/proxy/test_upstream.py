"""The client for upstream, alone: what has to hold however fast its bytes are read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from api.proxy.upstream import BrokenOff, Upstream, UpstreamRequest
from tests.builders import submit
from tests.proxy import upstream as endpoint
from tests.proxy.upstream import Do, chunk, chunked_head, fresh_id, head

T = TypeVar("T")


def on_a_loop(what: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(what, endpoint.WAIT_S))


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # aiohttp does not say when bytes have come
        await asyncio.sleep(0)


@pytest.mark.parametrize("ending", [(), (Do.RESET,)], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "start", [chunked_head(None), head(None, "content-length: 9999")], ids=["chunks", "length"]
)
def test_what_came_before_a_cut_is_read_after_it(
    upstream: endpoint.Upstream, start: bytes, ending: tuple[Do, ...]
) -> None:
    """A slow client holds up the reading; the cut must not overtake the bytes."""
    sent = submit("a") * 10
    arrived = threading.Event()
    body = chunk(sent) if b"chunked" in start else sent
    upstream.answer(start, body, arrived, *ending)

    async def read() -> tuple[bytes, str]:
        client = Upstream(idle_timeout_s=endpoint.WAIT_S)
        url = f"{upstream.url}/workflows/o/n/stream"
        answer = await client.send(UpstreamRequest("POST", url, [], b"{}"))
        content = answer._response.content
        await _until(lambda: content.total_bytes >= len(sent))
        arrived.set()
        await _until(lambda: content.exception() is not None)
        received = b""
        reason = "whole"
        try:
            async for piece in answer.chunks():
                received += piece
        except BrokenOff as error:
            reason = error.reason
        answer.close()
        await client.close()
        return received, reason

    assert on_a_loop(read()) == (sent, "cut")


@pytest.mark.parametrize(
    "target",
    [
        "/workflows/o/n/stream",
        "/workflows/o/n?a=b;c=d&e=%7E%20+x/?y&empty=&fal_webhook=https://a.example/b?c=d",
        "/workflows/%F0%9F%92%A9/n~1/!$&'()*+,=:@-",
        "/",
    ],
)
def test_a_target_goes_out_to_the_letter(upstream: endpoint.Upstream, target: str) -> None:
    upstream.answer(endpoint.sized(fresh_id(), b"{}"))

    async def send() -> None:
        client = Upstream(idle_timeout_s=endpoint.WAIT_S)
        answer = await client.send(UpstreamRequest("POST", upstream.url + target, [], b"{}"))
        answer.close()
        await client.close()

    on_a_loop(send())
    [request] = upstream.requests
    assert request.split(b"\r\n")[0].decode() == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize("body", [b"", b"{}", bytes(3_000_000)], ids=["none", "short", "long"])
def test_headers_go_out_as_they_came_and_none_is_added(
    upstream: endpoint.Upstream, body: bytes
) -> None:
    upstream.answer(endpoint.sized(fresh_id(), b"{}"))
    fields = [
        (b"x-fal-note", "é".encode()),
        (b"x-twice", b"1"),
        (b"x-twice", b"2"),
        (b"x-empty", b""),
    ]

    async def send() -> None:
        client = Upstream(idle_timeout_s=endpoint.WAIT_S)
        url = f"{upstream.url}/x"
        answer = await client.send(UpstreamRequest("POST", url, fields, body))
        answer.close()
        await client.close()

    on_a_loop(send())
    [request] = upstream.requests
    start, _, sent = request.partition(b"\r\n\r\n")
    _, *lines = start.split(b"\r\n")
    assert lines == [
        b"Host: " + upstream.url.removeprefix("http://").encode(),
        *(name + b": " + value for name, value in fields),
        b"Content-Length: %d" % len(body),
    ]
    assert sent == body
