"""Handing recorded webhooks on to the user's own receiver, who then checks fal's signature himself."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import httpx

from recorder import redaction

_log = logging.getLogger("api.webhooks")

PAUSES_S: Final = (1.0, 5.0, 25.0, 120.0)
"""Between tries; beyond 300 s in all the receiver would refuse the signature as old."""

MAX_WAITING: Final = 256
_TIMEOUT_S: Final = 15.0


class Forwarder:
    """Hands webhooks on in the background, each on its own; what the process ends with is lost.

    A receiver accepts with a 2xx; anything else, silence included, is tried again. Redirects are not
    followed. For one event loop.

    Args:
        client: What to send with.
        url: The receiver.
        pauses_s: Between the tries.
    """

    def __init__(
        self, client: httpx.AsyncClient, url: str, *, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._client = client
        self._url = url
        self._pauses_s = pauses_s
        self._waiting: set[asyncio.Task[None]] = set()

    def hand_on(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        """Hands a webhook on, body and headers of fal's as they came; returns at once."""
        if len(self._waiting) >= MAX_WAITING:
            _log.error("a webhook is not handed on: %d wait already", MAX_WAITING)
            return
        sent = [
            (name, value)
            for name, value in headers
            if name.startswith("x-fal-webhook-") or name == "content-type"
        ]
        task = asyncio.create_task(self._hand_on(body, sent))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """Gives up what has not been accepted yet."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _hand_on(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        for pause_s in (*self._pauses_s, None):
            if await self._is_accepted(body, headers):
                return
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        _log.error("a webhook was not accepted by %s", redaction.url(self._url))

    async def _is_accepted(self, body: bytes, headers: list[tuple[str, str]]) -> bool:
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                return answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError):
            return False
