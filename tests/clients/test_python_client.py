"""fal's own Python client, unchanged, on the documented sticker example."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import fal_client
import pytest

from tests.clients.seen import (
    STICKER,
    STICKER_NODES,
    STICKER_TYPES,
    recorded_payloads,
    step_states,
)
from tests.proxy.stage import Proxied

INPUT = {"prompt": "a cute puppy", "seed": 6252023}


@pytest.fixture(autouse=True)
def client_calls_the_proxy(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "any:key")
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{proxied.url}/")


@pytest.fixture
def client() -> Iterator[fal_client.SyncClient]:
    client = fal_client.SyncClient()
    yield client
    client._client.close()


def test_what_the_sync_client_saw_is_what_was_recorded(
    client: fal_client.SyncClient, proxied: Proxied
) -> None:
    seen = list(client.stream(STICKER, arguments=INPUT))
    run = proxied.run_of(STICKER)
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(proxied.rec, run.request_id) == seen
    assert step_states(run) == [(node, "completed") for node in STICKER_NODES]
    assert run.status == "completed"


def test_what_the_async_client_saw_is_what_was_recorded(proxied: Proxied) -> None:
    async def call() -> list[dict[str, Any]]:
        client = fal_client.AsyncClient()
        events = [event async for event in client.stream(STICKER, arguments=INPUT)]
        await (await client._client).aclose()
        return events

    seen = asyncio.run(call())
    run = proxied.run_of(STICKER)
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(proxied.rec, run.request_id) == seen


def test_a_failing_step_is_seen_and_recorded_alike(
    client: fal_client.SyncClient, proxied: Proxied
) -> None:
    too_many = {**INPUT, "num_images": 9}
    seen = list(client.stream(STICKER, arguments=too_many))
    run = proxied.run_of(STICKER)
    assert [event["type"] for event in seen] == ["submit", "error"]
    assert recorded_payloads(proxied.rec, run.request_id) == seen
    assert (run.status, run.error and run.error.status) == ("failed", 422)
    assert step_states(run) == [("stable_diffusion_xl", "failed")]


def test_recording_the_clients_own_iterator_hands_on_its_events(
    client: fal_client.SyncClient, proxied: Proxied
) -> None:
    stream = client.stream(STICKER, arguments=INPUT)
    seen = list(proxied.rec.record(stream, workflow=STICKER, request_id="own-iterator"))
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(proxied.rec, "own-iterator") == seen
