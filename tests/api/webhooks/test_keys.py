"""fal's published keys: fetched when needed, seldom, and forgotten after a day."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from api.errors import KeysUnavailable
from api.webhooks.keys import SigningKeys, published_at, read_keys
from recorder.errors import SourceError
from recorder.sources.fetching import new_async_client
from tests.clocks import ManualClock
from tests.serving import Page, site
from tests.webhooks import FalSigner, key_set

MINUTE_US = 60 * 1_000_000
DAY_US = 24 * 60 * MINUTE_US
MESSAGE = b"a message"


class Publication:
    """What is published at present, and how often it was asked for."""

    def __init__(self, *signers: FalSigner) -> None:
        self.now: bytes | Exception = key_set(*signers)
        self.fetches = 0

    async def get(self) -> bytes:
        self.fetches += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class Keys:
    """Keys on a clock that is moved by hand."""

    def __init__(self, publication: Publication) -> None:
        self.clock = ManualClock()
        self._keys = SigningKeys(publication.get, self.clock)

    def fit(self, *signers: FalSigner, message: bytes = MESSAGE) -> list[bool]:
        """Whether signatures of these fit, asked for all at the same time."""

        async def ask() -> list[bool]:
            each = (self._keys.fit(signer.sign(MESSAGE), message) for signer in signers)
            return await asyncio.gather(*each)

        return asyncio.run(ask())


def test_any_of_the_published_keys_fits_and_they_are_fetched_once() -> None:
    first, second = FalSigner(), FalSigner()
    publication = Publication(first, second)
    keys = Keys(publication)
    assert keys.fit(first, second, first) == [True, True, True]
    keys.clock.advance(DAY_US - 1)
    assert keys.fit(second) == [True]
    assert publication.fetches == 1


def test_another_key_or_another_message_does_not_fit() -> None:
    signer = FalSigner()
    keys = Keys(Publication(signer))
    assert keys.fit(FalSigner(), signer) == [False, True]
    assert keys.fit(signer, message=b"another message") == [False]


def test_a_new_key_is_found_and_the_keys_are_fetched_again_once_a_minute_at_most() -> None:
    old, new = FalSigner(), FalSigner()
    publication = Publication(old)
    keys = Keys(publication)
    assert keys.fit(old) == [True]
    publication.now = key_set(new)
    keys.clock.advance(MINUTE_US - 1)
    assert keys.fit(new, new) == [False, False]
    assert publication.fetches == 1
    keys.clock.advance(1)
    assert keys.fit(new, new, old) == [True, True, False]
    assert publication.fetches == 2


def test_keys_older_than_a_day_are_fetched_again_and_not_used_where_that_fails() -> None:
    signer = FalSigner()
    publication = Publication(signer)
    keys = Keys(publication)
    assert keys.fit(signer) == [True]
    publication.now = SourceError("gone")
    keys.clock.advance(DAY_US)
    with pytest.raises(KeysUnavailable):
        keys.fit(signer)
    publication.now = key_set(signer)
    with pytest.raises(KeysUnavailable):
        keys.fit(signer)
    keys.clock.advance(MINUTE_US)
    assert keys.fit(signer) == [True]
    assert publication.fetches == 3


def test_a_fetch_that_fails_leaves_the_keys_of_today_in_use() -> None:
    signer = FalSigner()
    publication = Publication(signer)
    keys = Keys(publication)
    assert keys.fit(signer) == [True]
    publication.now = SourceError("gone")
    keys.clock.advance(MINUTE_US)
    assert keys.fit(FalSigner(), signer) == [False, True]
    assert publication.fetches == 2


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": ["\xff"]}',
        b'{"keys": ' + b"[" * 100_000,
        b'{"keys": []}',
        b'{"keys": [1, null, {}, {"x": 5}]}',
    ],
    ids=range(8),
)
def test_no_key_at_all_means_that_nothing_can_be_checked(document: bytes) -> None:
    publication = Publication()
    publication.now = document
    with pytest.raises(KeysUnavailable):
        Keys(publication).fit(FalSigner())


def test_odd_keys_beside_good_ones_are_passed_over() -> None:
    good = FalSigner().jwk
    odd: list[Any] = [
        good | {"kty": "RSA"},
        good | {"crv": "X25519"},
        good | {"x": "é"},
        good | {"x": "AAAA"},
        good | {"x": good["x"] * 2},
        "a key",
    ]
    document = json.dumps({"keys": [*odd, good, {"x": good["x"]}]}).encode()
    public = base64.urlsafe_b64decode(good["x"] + "=")
    assert [bytes(key) for key in read_keys(document)] == [public, public]
    many = json.dumps({"keys": [good] * 101}).encode()
    assert len(list(read_keys(many))) == 100


def test_the_keys_are_those_at_the_address() -> None:
    async def get(url: str) -> bytes:
        async with new_async_client() as client:
            return await published_at(url, client)()

    with site({"/keys": Page(b'{"keys": []}')}) as fal:
        assert asyncio.run(get(f"{fal.url}/keys")) == b'{"keys": []}'
