"""Passing a request on: bytes first, unchanged and at once; recording beside them, never before.

Once a request that costs money has gone out, its client always gets an answer with a status that no
client of fal's takes as a reason to send it again (FAL_PROTOCOL §7): a retry would be paid twice.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import UpstreamSilent
from api.proxy import headers
from api.proxy.client import Client
from api.proxy.queue_urls import Rewriting
from api.proxy.upstream import (
    BrokenOff,
    Unanswered,
    Unsent,
    Upstream,
    UpstreamAnswer,
    UpstreamRequest,
)
from recorder.capture import Call, Capture, Endpoint, Tap
from recorder.documents import CloseReason
from recorder.errors import UpstreamUnreachable

OnClientGone = Literal["finish", "abort"]

_STOPPED: Final[tuple[CloseReason, str]] = ("error", "the recorder was stopped")
_GONE: Final[tuple[CloseReason, str]] = ("client_gone", "upstream was hung up on, as configured")


class Passage(msgspec.Struct, frozen=True):
    """A request on its way through.

    Attributes:
        endpoint: What it asks for.
        request: What goes to upstream.
        rewriting: How the addresses in the answer are made ours; None to leave it alone.
        parent: The run this one is a rerun of.
    """

    endpoint: Endpoint
    request: UpstreamRequest
    rewriting: Rewriting | None = None
    parent: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether the answer is held until it is whole; only short ones are.

        It has to be whole before its addresses can be changed. And a client that sees the reply to a
        submit torn submits again.
        """
        return self.rewriting is not None or self.endpoint.kind == "submit"


class Forwarding:
    """Passes requests on.

    Args:
        upstream: Who answers.
        capture: Gives the taps.
        on_client_gone: Whether a run is read to its end when its client leaves, which it is paid for
            anyway, or upstream is hung up on.
    """

    def __init__(self, upstream: Upstream, capture: Capture, on_client_gone: OnClientGone) -> None:
        self._upstream = upstream
        self._capture = capture
        self._on_client_gone = on_client_gone

    def carrying(self, passage: Passage) -> ASGIApp:
        """An ASGI app that carries a request, once."""

        async def app(scope: Scope, _: Receive, send: Send) -> None:
            await self.carry(passage, scope, send)

        return app

    async def carry(self, passage: Passage, scope: Scope, send: Send) -> None:
        """Passes a request on, and its answer back.

        Raises:
            UpstreamUnreachable: Nothing was sent.
            UpstreamSilent: Something may have been sent, and no answer came. Neither is raised of a
                request that may be repeated; its client's connection is ended, as upstream's was.
        """
        tap = self._capture.begin(_call(passage))
        task = asyncio.current_task()
        assert task is not None
        hangs_up = self._hangs_up(passage)

        def left() -> None:
            tap.client_left()
            if hangs_up:
                task.cancel()

        with Client(scope, send, left) as client:
            try:
                answer = await self._send(passage, tap, client)
                await self._hand_on(passage, answer, tap, client)
            except (UpstreamUnreachable, UpstreamSilent):
                # Clients ask again where a connection ends, and then nothing is lost: polling goes on.
                if not passage.endpoint.may_be_repeated:
                    raise
                await client.break_off()
            except asyncio.CancelledError:
                # Ours where the client left and nobody needs the rest, else the server's own.
                if not (client.has_left and hangs_up):
                    raise
                task.uncancel()

    def _hangs_up(self, passage: Passage) -> bool:
        """Whether upstream is hung up on when the client leaves."""
        return self._on_client_gone == "abort" or not passage.endpoint.costs_money

    def _why(self, passage: Passage, client: Client) -> tuple[CloseReason, str]:
        """Why a request was broken off here: for its client's sake, or because all is."""
        return _GONE if client.has_left and self._hangs_up(passage) else _STOPPED

    async def _send(self, passage: Passage, tap: Tap, client: Client) -> UpstreamAnswer:
        try:
            return await self._upstream.send(passage.request)
        except Unsent as error:
            tap.unsent()
            raise UpstreamUnreachable(f"no connection to upstream: {error}") from None
        except Unanswered as error:
            tap.unanswered(error.reason, str(error))
            raise UpstreamSilent(str(error)) from None
        except asyncio.CancelledError:
            tap.unanswered(*self._why(passage, client))
            raise

    async def _hand_on(
        self, passage: Passage, answer: UpstreamAnswer, tap: Tap, client: Client
    ) -> None:
        tap.answered(answer.status, headers.as_text(answer.headers))
        try:
            if passage.is_held and 200 <= answer.status < 300:
                await self._hand_on_whole(passage, answer, tap, client)
            else:
                await self._hand_on_as_it_is(answer, tap, client)
        except BrokenOff as error:
            tap.broke_off(error.reason, str(error))
            if not client.has_begun:  # a torn connection without a status would be tried again
                raise UpstreamSilent(str(error)) from None
            await client.break_off()
        except asyncio.CancelledError:
            tap.broke_off(*self._why(passage, client))
            raise
        finally:
            answer.close()

    async def _hand_on_as_it_is(self, answer: UpstreamAnswer, tap: Tap, client: Client) -> None:
        await client.begin(answer.status, answer.headers)
        async for chunk in answer.chunks():
            try:
                if answer.is_whole:  # its last bytes and its end go out as one
                    await client.end(chunk)
                else:
                    await client.write(chunk)
            finally:  # what has come is kept, also if the wait for a slow client is broken off
                tap.feed(chunk)
        if not client.has_ended:
            await client.end()
        tap.ended()

    async def _hand_on_whole(
        self, passage: Passage, answer: UpstreamAnswer, tap: Tap, client: Client
    ) -> None:
        chunks = []
        async for chunk in answer.chunks():
            chunks.append(chunk)
            tap.feed(chunk)
        body = b"".join(chunks)
        if passage.rewriting is not None:
            body = passage.rewriting.rewrite(body)
        kept = [pair for pair in answer.headers if pair[0] != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await client.begin(answer.status, [*kept, length])
        await client.end(body)
        tap.ended()


def _call(passage: Passage) -> Call:
    request = passage.request
    return Call(
        method=request.method,
        url=request.url,
        endpoint=passage.endpoint,
        headers=headers.as_text(request.headers),
        body=request.body,
        parent=passage.parent,
    )
