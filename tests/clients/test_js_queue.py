"""fal's own JavaScript client, unchanged, at the emulator's queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings
from tests.clients.node import needs_node, run_script
from tests.clients.seen import STICKER

pytestmark = needs_node

SMALL = {"prompt": "a cute puppy", "seed": 1, "image_size": {"width": 96, "height": 64}}
TOO_MANY = SMALL | {"num_images": 9}


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """An emulator with one runner that wants a key."""
    settings = EmulatorSettings(queue=QueueSettings(runners=1), require_key=("id:secret",))
    with EmulatorServer(settings) as running:
        yield running


def play(server: EmulatorServer, scene: str, arguments: dict[str, Any]) -> Any:
    return run_script("queue.mjs", server.queue_url, scene, STICKER, json.dumps(arguments))


def call_plainly(server: EmulatorServer, arguments: dict[str, Any]) -> Any:
    headers = {"authorization": "Key id:secret"}
    return httpx.post(f"{server.url}/{STICKER}", json=arguments, headers=headers).json()


def test_subscribing_gives_the_output_and_the_id_of_the_request(server: EmulatorServer) -> None:
    seen = play(server, "subscribe", SMALL)
    last = seen["updates"][-1]
    assert seen["result"] == {
        "data": call_plainly(server, SMALL),
        "requestId": last["request_id"],
    }
    assert (last["status"], last["logs"][-1]["message"]) == ("COMPLETED", "the workflow is done")
    assert last["metrics"]["inference_time"] > 0


def test_streaming_the_status_sees_every_change_and_each_log_once(server: EmulatorServer) -> None:
    seen = play(server, "stream", SMALL)
    states = [update["status"] for update in seen["updates"]]
    assert seen["waiting"]["queue_position"] == 0
    assert (states[0], states[-1]) == ("IN_QUEUE", "COMPLETED")
    assert states == sorted(states, key=["IN_QUEUE", "IN_PROGRESS", "COMPLETED"].index)
    assert "IN_PROGRESS" in states
    assert seen["done"]["request_id"] == seen["waiting"]["request_id"]
    assert seen["updates"][-1] == seen["status"]


def test_a_failing_run_shows_when_its_result_is_fetched(server: EmulatorServer) -> None:
    seen = play(server, "fail", TOO_MANY)
    assert seen["done"]["status"] == "COMPLETED"
    assert seen["result"] == {
        "name": "ValidationError",
        "status": 422,
        "body": call_plainly(server, TOO_MANY),
    }


def test_cancelling_ends_a_run_once(server: EmulatorServer) -> None:
    seen = play(server, "cancel", SMALL)
    assert (seen["done"]["status"], seen["done"]["error_type"]) == ("COMPLETED", "client_cancelled")
    assert [seen["early"], seen["again"], seen["result"]] == [
        {
            "name": "ApiError",
            "status": 400,
            "body": {"detail": "Request is still in progress"},
        },
        {"name": "ApiError", "status": 400, "body": {"status": "ALREADY_COMPLETED"}},
        {
            "name": "ApiError",
            "status": 499,
            "body": {"detail": "Request was cancelled", "error_type": "client_cancelled"},
        },
    ]
