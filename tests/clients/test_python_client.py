"""fal's own Python client, unchanged, on the documented sticker example."""

from __future__ import annotations

import asyncio
from typing import Any

import fal_client
import pytest

from recorder.bootstrap import Recorder
from tests.clients.relay import Relay
from tests.clients.seen import (
    STICKER,
    STICKER_NODES,
    STICKER_TYPES,
    recorded_payloads,
    step_states,
)

INPUT = {"prompt": "a cute puppy", "seed": 6252023}


@pytest.fixture(autouse=True)
def client_calls_the_relay(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "any:key")
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{relay.url}/")


def test_what_the_sync_client_saw_is_what_was_recorded(rec: Recorder, relay: Relay) -> None:
    seen = list(fal_client.SyncClient().stream(STICKER, arguments=INPUT))
    [request_id] = relay.request_ids
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(rec, request_id) == seen
    assert step_states(rec, request_id) == [(node, "completed") for node in STICKER_NODES]
    assert rec.run(request_id).status == "completed"


def test_what_the_async_client_saw_is_what_was_recorded(rec: Recorder, relay: Relay) -> None:
    async def call() -> list[dict[str, Any]]:
        client = fal_client.AsyncClient()
        return [event async for event in client.stream(STICKER, arguments=INPUT)]

    seen = asyncio.run(call())
    [request_id] = relay.request_ids
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(rec, request_id) == seen


def test_a_failing_step_is_seen_and_recorded_alike(rec: Recorder, relay: Relay) -> None:
    too_many = {**INPUT, "num_images": 9}
    seen = list(fal_client.SyncClient().stream(STICKER, arguments=too_many))
    [request_id] = relay.request_ids
    run = rec.run(request_id)
    assert [event["type"] for event in seen] == ["submit", "error"]
    assert recorded_payloads(rec, request_id) == seen
    assert (run.status, run.error and run.error.status) == ("failed", 422)
    assert step_states(rec, request_id) == [("stable_diffusion_xl", "failed")]


def test_recording_the_clients_own_iterator_hands_on_its_events(
    rec: Recorder,
) -> None:
    stream = fal_client.SyncClient().stream(STICKER, arguments=INPUT)
    seen = list(rec.record(stream, workflow=STICKER, request_id="own-iterator"))
    assert [event["type"] for event in seen] == STICKER_TYPES
    assert recorded_payloads(rec, "own-iterator") == seen
