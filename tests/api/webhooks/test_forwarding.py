"""Handing webhooks on: tried again, given up, and never in anybody's way."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from api.webhooks import forwarding
from api.webhooks.forwarding import Forwarder
from recorder.sources.fetching import new_async_client
from tests.serving import Page, Site, site

HEADERS = [("x-fal-webhook-user-id", "u"), ("content-type", "application/json"), ("cookie", "c")]


def handed_on(url: str, *, tries: int = 3, then: Callable[[Forwarder], None] | None = None) -> None:
    """Hands a webhook on and waits until that has come to an end."""

    async def run() -> None:
        async with new_async_client() as client:
            forwarder = Forwarder(client, url, pauses_s=(0.0,) * (tries - 1))
            forwarder.hand_on(b"body", HEADERS)
            if then is not None:
                then(forwarder)
            await asyncio.gather(*forwarder._waiting)
            await forwarder.close()

    asyncio.run(run())


def test_what_is_accepted_is_sent_once_and_with_fals_headers_only() -> None:
    with site({"/hook": Page(status=202)}) as user:
        handed_on(f"{user.url}/hook")
    [asked] = user.asked
    assert (asked.body, asked.headers["x-fal-webhook-user-id"]) == (b"body", "u")
    assert "cookie" not in asked.headers


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_accepted_is_tried_again_and_then_given_up(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    page = Page(status=status, headers={"location": "/elsewhere"})
    with site({"/hook": page}) as user, caplog.at_level(logging.ERROR):
        handed_on(f"{user.url}/hook?token=secret", tries=3)
        assert [asked.path for asked in user.asked] == ["/hook?token=secret"] * 3
    assert "was not accepted" in caplog.text
    assert "secret" not in caplog.text


def test_a_receiver_that_is_away_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with site() as gone:
        pass
    handed_on(f"{gone.url}/hook", tries=2)
    handed_on("nonsense", tries=2)
    assert caplog.text.count("was not accepted") == 2


def test_no_more_than_a_number_wait_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forwarding, "MAX_WAITING", 1)
    with site({"/hook": Page()}) as user:
        handed_on(f"{user.url}/hook", then=lambda forwarder: forwarder.hand_on(b"2", HEADERS))
        assert [asked.body for asked in user.asked] == [b"body"]
    assert "is not handed on: 1 wait already" in caplog.text


def test_what_is_under_way_at_the_end_is_given_up() -> None:
    never = threading.Event()

    async def run(user: Site) -> None:
        async with new_async_client() as client:
            forwarder = Forwarder(client, f"{user.url}/hook")
            forwarder.hand_on(b"body", HEADERS)
            await asyncio.to_thread(user.next)
            await forwarder.close()
            assert not forwarder._waiting

    with site({"/hook": Page(ready=never)}) as user:
        asyncio.run(run(user))
        never.set()
