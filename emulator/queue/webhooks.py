"""Reporting the end of a queued request to the address its caller gave."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

from emulator.json_text import write_json
from emulator.outcome import Outcome
from emulator.problems import invalid
from emulator.queue.requests import QueuedRequest
from emulator.queue.signing import Signer
from emulator.settings import QueueSettings, WebhookFaults

_NOT_JSON = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use "
    "the queue endpoint to retrieve the response."
)

logger = logging.getLogger(__name__)


def check_webhook_url(url: str) -> None:
    """Refuse what is no address of a web server.

    Raises:
        Invalid: the location is that of the query parameter.
    """
    if not _names_a_web_server(url):
        loc = ("query", "fal_webhook")
        raise invalid(loc, "an http or https address is expected", "value_error.url")


def _names_a_web_server(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
        a_port = 0 <= (parsed.port or 0) <= 65_535
        return a_port and parsed.scheme in ("http", "https") and parsed.host != ""
    except (httpx.InvalidURL, UnicodeError):  # the latter for names that are no IDNA
        return False


class Webhooks:
    """Delivers in the background, one delivery of a request after the other.

    A receiver accepts with a 2xx. Anything else, silence included, is tried again after a pause
    that doubles; a redirect is not followed and not tried again. Undelivered webhooks are lost when
    the server stops.
    """

    def __init__(self, settings: QueueSettings) -> None:
        seed = settings.webhook_key_seed
        self.signer = Signer(settings.webhook_user_id, bytes.fromhex(seed) if seed else None)
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def report(self, request: QueuedRequest) -> None:
        """Tell the request's webhook, if it has one, how the request ended."""
        if request.webhook_url is None or request.outcome is None:
            return
        faults = request.webhook_faults
        body = write_json(_report(request.id, request.outcome, faults)).encode()
        delivery = self._deliver(request, request.webhook_url, body)
        task = asyncio.create_task(delivery)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is not delivered yet."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, request: QueuedRequest, url: str, body: bytes) -> None:
        faults = request.webhook_faults
        try:
            for _ in range(faults.deliveries):
                if not await self._offer(url, request.id, body, faults):
                    logger.warning("the webhook of request %s was not accepted", request.id)
                request.reported.set()
        finally:
            request.reported.set()

    async def _offer(self, url: str, request_id: str, body: bytes, faults: WebhookFaults) -> bool:
        pause_s = self._settings.webhook_pause_s
        for further_tries in reversed(range(self._settings.webhook_tries)):
            status = await self._post(url, body, self.signer.headers(request_id, body, faults))
            if status is not None and status < 400:
                return status < 300
            if further_tries:
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return False

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int | None:
        """The receiver's status, or None when there was no answer in time."""
        timeout_s = self._settings.webhook_timeout_s
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, timeout=timeout_s)
        headers = {**headers, "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(timeout_s),  # httpx limits each read, not all of them together
                self._client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                return answer.status_code
        except (httpx.TransportError, TimeoutError):
            return None


def _report(request_id: str, outcome: Outcome, faults: WebhookFaults) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "gateway_request_id": request_id,
        "status": "OK" if outcome.error is None else "ERROR",
        "payload": None if faults.payload_error else outcome.body,
        "error": outcome.error,
        "payload_error": _NOT_JSON if faults.payload_error else None,
    }
