"""The keys fal signs webhooks with, as it publishes them, kept for a day."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import httpx
import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from api.errors import KeysUnavailable
from recorder.clock import Clock
from recorder.errors import SourceError
from recorder.sources.fetching import fetch

_log = logging.getLogger("api.webhooks")

MAX_AGE_US: Final = 24 * 3600 * 1_000_000
"""fal may withdraw a key; after this time a webhook signed with it is no longer taken."""

RETRY_US: Final = 60 * 1_000_000
"""Anybody can send a signature that fits no key; the keys are not fetched more often for it."""

_MAX_BYTES: Final = 256 * 1024
_MAX_KEYS: Final = 100
_TIMEOUT_S: Final = 10.0


class SigningKeys:
    """fal's public keys. For one event loop.

    Args:
        get: Fetches the published set, see `published_at`.
        clock: For the monotonic clock.
    """

    def __init__(self, get: Callable[[], Awaitable[bytes]], clock: Clock) -> None:
        self._get = get
        self._clock = clock
        self._keys: list[VerifyKey] = []
        self._fetched_us: int | None = None
        self._tried_us: int | None = None
        self._fetching = asyncio.Lock()

    async def fit(self, signature: bytes, message: bytes) -> bool:
        """Whether one of the keys made a signature.

        Raises:
            KeysUnavailable: None are known and none can be had now.
        """
        if any(_fits(key, signature, message) for key in self._known()):
            return True
        await self._renew()
        known = self._known()
        if not known:
            raise KeysUnavailable
        return any(_fits(key, signature, message) for key in known)

    def _known(self) -> list[VerifyKey]:
        return [] if _passed(self._fetched_us, MAX_AGE_US, self._clock) else self._keys

    async def _renew(self) -> None:
        """Fetches the keys, unless that has been tried just now."""
        async with self._fetching:
            if not _passed(self._tried_us, RETRY_US, self._clock):
                return
            self._tried_us = self._clock.monotonic_us()
            try:
                self._keys = list(read_keys(await self._get()))
            except (SourceError, ValueError, RecursionError) as error:
                _log.warning("fal's keys could not be fetched: %s", error)
                return
            self._fetched_us = self._clock.monotonic_us()


class _KeySet(msgspec.Struct):
    keys: list[Any]


_decode_key_set: Final = msgspec.json.Decoder(_KeySet).decode


def published_at(url: str, client: httpx.AsyncClient) -> Callable[[], Awaitable[bytes]]:
    """Fetches the key set at an address."""
    return lambda: fetch(client, url, limit_bytes=_MAX_BYTES, timeout_s=_TIMEOUT_S)


def read_keys(document: bytes) -> Iterator[VerifyKey]:
    """The Ed25519 keys of a JSON Web Key Set, at most 100; others are passed over.

    Raises:
        ValueError: It is no such set.
        RecursionError: It is nested too deeply.
    """
    for key in _decode_key_set(document).keys[:_MAX_KEYS]:
        public = _public_bytes(key)
        if public is not None and len(public) == 32:
            yield VerifyKey(public)


def _public_bytes(key: Any) -> bytes | None:
    if not isinstance(key, dict) or not isinstance(key.get("x"), str):
        return None
    if (key.get("kty", "OKP"), key.get("crv", "Ed25519")) != ("OKP", "Ed25519"):
        return None
    try:
        return base64.urlsafe_b64decode(key["x"] + "==")
    except ValueError:
        return None


def _fits(key: VerifyKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(message, signature)
    except BadSignatureError:
        return False
    return True


def _passed(since_us: int | None, period_us: int, clock: Clock) -> bool:
    return since_us is None or clock.monotonic_us() - since_us >= period_us
