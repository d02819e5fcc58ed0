"""The upstream client: one request, its status and headers at once, its body as it arrives.

The one place that knows aiohttp, chosen by measurement: it starts twelve times as many streams a second
as httpx (docs/performance.md). Requests are sent once, redirects are not followed, nothing is inflated,
cookies are not kept, and the environment's proxies are not used.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from api.proxy import headers
from recorder import redaction
from recorder.documents import CloseReason

CONNECT_TIMEOUT_S: Final = 10.0
KEEP_ALIVE_S: Final = 3.0
"""Shorter than upstream's own, so that no request goes out on a connection just being closed."""

_MAX_HEADER_BYTES: Final = 64 * 1024
_LONG_BODY_BYTES: Final = 1024 * 1024
_STATUSES: Final = range(200, 600)
"""Any other an answer cannot end with, and our server cannot send (RFC 9110, 15)."""

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


class UpstreamRequest(redaction.Discreet, frozen=True):
    """What to send; `url` is dialled to the letter."""

    method: str
    url: str
    headers: headers.Pairs
    body: bytes


class UpstreamAnswer:
    """A status, and a body that is still coming. Close it.

    Attributes:
        is_whole: Whether the chunk handed out last is known to have been the end of the body.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        connection = response.connection  # None once the body is whole
        self._protocol = None if connection is None else connection.protocol
        self.is_whole = False
        self.status = response.status
        self.headers = headers.to_client(response.raw_headers, status=response.status)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the body: at each turn all that has arrived.

        Raises:
            BrokenOff: The body ended before its end.
        """
        content = self._response.content
        try:
            while chunk := await content.readany():
                ended = content.at_eof() and content.exception() is None
                self.is_whole = ended and not self._was_reset()
                yield chunk
                if self.is_whole:  # the connection may be somebody else's already
                    return
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp puts the exception before what has come and was not read yet.
            if rest := content._read_nowait(-1):  # noqa: SLF001  # no public name
                yield rest
            raise _broken_off(error) from None
        if self._was_reset():
            raise BrokenOff("cut", "ConnectionResetError")

    def _was_reset(self) -> bool:
        """Whether a body that ends with its connection ended otherwise than in good order."""
        return self._protocol is not None and isinstance(self._protocol.exception(), OSError)

    def close(self) -> None:
        """Ends the request; a body that was read to its end leaves its connection for others."""
        self._response.close()


def _broken_off(error: Exception) -> BrokenOff:
    if isinstance(error, TimeoutError):
        return BrokenOff("timeout", "upstream sent nothing any more")
    return BrokenOff("cut", type(error).__name__)


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
        # aiohttp sends a GET or PUT again when it gets no answer; a GET may run an app and be paid for.
        self._session._retry_connection = False  # noqa: SLF001  # no public name

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Sends a request, once.

        Raises:
            Unsent: There is no connection.
            Unanswered: There was one, and no status came back.
        """
        sent = CIMultiDict((name.decode(), _text(value)) for name, value in request.headers)
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=sent,
                data=_data(request.body),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unsent(type(error).__name__) from None
        except TimeoutError:
            raise Unanswered("timeout", "upstream did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered("cut", type(error).__name__) from None
        except Exception as error:  # a bug there does not tell whether something went out
            raise Unanswered("error", type(error).__name__) from None
        if response.status not in _STATUSES:
            response.close()
            raise Unanswered("cut", f"upstream answered {response.status}, which is no status")
        return UpstreamAnswer(response)

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports say goodbye


def _data(body: bytes) -> bytes | io.BytesIO | None:
    """A body as aiohttp wants it, which sends a long one in pieces only if it comes as a file."""
    return io.BytesIO(body) if len(body) > _LONG_BODY_BYTES else body or None


def _text(value: bytes) -> str:
    """A header's value as aiohttp wants it, which writes UTF-8 whatever came in."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
