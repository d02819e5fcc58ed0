"""Receiving a webhook: nothing of it is believed, and nothing recorded, before fal's signature fits."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.errors import WebhookRefused
from api.proxy import headers
from api.proxy.client import read_body
from api.webhooks.forwarding import Forwarder
from api.webhooks.keys import SigningKeys, published_at
from api.webhooks.signature import Signed
from recorder.bootstrap import Recorder
from recorder.capture import MAX_PART_BYTES, Capture, has_outcome
from recorder.clock import SystemClock
from recorder.errors import LogUnavailable
from recorder.sources.fetching import new_async_client

BODY_TIMEOUT_S: Final = 10.0
DURABLE_S: Final = 5.0
"""fal takes a delivery for failed after 15 s in all, and then tries again."""


class WebhookReceiver:
    """Takes the webhooks of queued runs.

    On the event loop of the proxy, whose capture it shares.

    Args:
        rec: Where runs are recorded, and with whose settings.
        capture: Knows the queued runs.
        durable_s: How long a webhook may take to be in the log for good.
    """

    def __init__(self, rec: Recorder, capture: Capture, *, durable_s: float = DURABLE_S) -> None:
        settings = rec.settings
        self._rec = rec
        self._capture = capture
        self._durable_s = durable_s
        self._clock = SystemClock()
        self._user_id = settings.webhook.user_id
        self._client = new_async_client()
        self._keys = SigningKeys(published_at(settings.jwks, self._client), self._clock)
        forward_url = settings.webhook.forward_url
        self._forwarder = None if forward_url is None else Forwarder(self._client, forward_url)

    async def receive(self, request: Request) -> str:
        """Checks a webhook and records it; returns the queued run it reports on.

        The same webhook again is taken and not recorded again.

        Raises:
            WebhookRefused: It is not fal's, not recent, or about somebody else's run.
            BodyTooLarge, BodyTooSlow, ClientGone: Its body cannot be had.
            KeysUnavailable: It cannot be checked now.
            LogError: It is not in the log for good.
        """
        signed = Signed.of(request.headers, self._clock.now_us() / 1_000_000)
        if self._user_id not in (None, signed.user_id):
            raise WebhookRefused("it is about the run of another account")
        body = await read_body(
            request.receive, limit_bytes=MAX_PART_BYTES, timeout_s=BODY_TIMEOUT_S
        )
        if not await self._keys.fit(signed.signature, signed.message(body)):
            raise WebhookRefused("its signature fits none of fal's keys")
        request_id = _queued_id(body) or signed.request_id
        given = headers.as_text(request.headers.raw)
        await self._record(request_id, body, given)
        if self._forwarder is not None:
            self._forwarder.hand_on(body, given)
        return request_id

    async def close(self) -> None:
        """Gives up what has not been handed on yet."""
        if self._forwarder is not None:
            await self._forwarder.close()
        await self._client.aclose()

    async def _record(self, request_id: str, body: bytes, given: list[tuple[str, str]]) -> None:
        if not self._capture.follows(request_id) and await self._is_old_news(request_id):
            return
        refused = await self._put_down(request_id, body, given)
        if refused is not None:
            # The run was closed by another recorder while this one gave no sign of life.
            self._capture.forget(request_id)
            refused = await self._put_down(request_id, body, given)
        if refused is not None:
            raise refused

    async def _put_down(
        self, request_id: str, body: bytes, given: list[tuple[str, str]]
    ) -> Exception | None:
        """Records a webhook and waits until that is durable; returns why the log refused it."""
        recording = self._capture.webhook(request_id, body, given)
        await self._until_durable()
        return None if recording is None else recording.refused

    async def _is_old_news(self, request_id: str) -> bool:
        # After a restart only the log knows what was delivered before.
        return await run_in_threadpool(has_outcome, self._rec.log, request_id)

    async def _until_durable(self) -> None:
        committed = asyncio.wrap_future(self._rec.writer.mark())
        try:
            await asyncio.wait_for(committed, self._durable_s)
        except TimeoutError:
            raise LogUnavailable("the log has not taken the webhook yet") from None


class _Report(msgspec.Struct):
    request_id: Any = None


_decode_report: Final = msgspec.json.Decoder(_Report).decode


def _queued_id(body: bytes) -> str | None:
    """The id the run has in the queue; the headers may name the last of several tries at it."""
    try:
        told = _decode_report(body).request_id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return told if isinstance(told, str) and told else None
