"""Small documents over HTTP: one GET, bounded in time and in size.

For what the recorder looks up by itself, beside the runs it records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from recorder import redaction
from recorder.errors import SourceError


def new_async_client() -> httpx.AsyncClient:
    """A client to keep: making one reads certificates, for which an event loop has no time."""
    return httpx.AsyncClient(timeout=None)  # noqa: S113  # httpx would limit each read, not the whole


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int,
    timeout_s: float,
) -> bytes:
    """The body of a 200, as it came: redirects are not followed and nothing is inflated.

    Args:
        client: What to ask with.
        url: What to get.
        headers: To send, credentials too; they go to this URL only.
        limit_bytes: A longer body is refused.
        timeout_s: For all of it, from name lookup to the last byte.

    Raises:
        SourceError: Anything else came back, or nothing in time. The message quotes no header.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _get(client, url, headers or {}, limit_bytes)
    except TimeoutError:
        raise SourceError(f"{redaction.url(url)} did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise SourceError(f"{redaction.url(url)}: {type(error).__name__}") from None


async def _get(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limit_bytes: int
) -> bytes:
    sent = {"accept": "application/json", "accept-encoding": "identity", **headers}
    body = bytearray()
    async with client.stream("GET", url, headers=sent, follow_redirects=False) as answer:
        if answer.status_code != 200:
            raise SourceError(f"{redaction.url(url)} answered {answer.status_code}")
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit_bytes:
                raise SourceError(f"{redaction.url(url)} sent more than {limit_bytes} bytes")
    return bytes(body)
