"""The upstream client: one request, its status and headers at once, its body as it arrives.

The one place that knows aiohttp, chosen by measurement: it starts twelve times as many streams a second
as httpx (docs/performance.md). Requests are sent once, redirects are not followed, nothing is inflated,
cookies are not kept, and the environment's proxies are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from api.proxy import headers
from recorder.documents import CloseReason

CONNECT_TIMEOUT_S: Final = 10.0
KEEP_ALIVE_S: Final = 3.0
"""Shorter than upstream's own, so that no request goes out on a connection just being closed."""

_MAX_HEADER_BYTES: Final = 64 * 1024
_NOT_ADDED: Final = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


class Unsent(Exception):
    """No connection came about: upstream knows nothing of the request."""


class Unanswered(Exception):
    """The request went out, or may have, and no status came back."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        self.reason: CloseReason = reason
        super().__init__(detail)


class BrokenOff(Exception):
    """The body ended before its end."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        self.reason: CloseReason = reason
        super().__init__(detail)


class UpstreamRequest(msgspec.Struct, frozen=True):
    """What to send; `url` is dialled to the letter."""

    method: str
    url: str
    headers: headers.Pairs
    body: bytes


class UpstreamAnswer:
    """A status, and a body that is still coming. Close it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = headers.to_client(response.raw_headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the body: at each turn all that has arrived.

        Raises:
            BrokenOff: The body ended before its end.
        """
        read = self._response.content.readany
        try:
            while chunk := await read():
                yield chunk
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise BrokenOff("timeout", "upstream sent nothing any more") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenOff("cut", type(error).__name__) from None

    def close(self) -> None:
        """Ends the request; a body that was read to its end leaves its connection for others."""
        self._response.close()


class Upstream:
    """A client with its connections. Made and closed on the event loop that uses it.

    Args:
        idle_timeout_s: How long upstream may send nothing, before its answer or within it.
    """

    def __init__(self, *, idle_timeout_s: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=60
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=idle_timeout_s
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NOT_ADDED,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            trust_env=False,
        )

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Sends a request, once.

        Raises:
            Unsent: There is no connection.
            Unanswered: There was one, and no status came back.
        """
        sent = CIMultiDict(headers.as_text(request.headers))
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=sent,
                data=request.body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unsent(type(error).__name__) from None
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise Unanswered("timeout", "upstream did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered("cut", type(error).__name__) from None
        return UpstreamAnswer(response)

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports say goodbye
