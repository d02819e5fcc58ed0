"""Submitting to the emulator's queue and following what happens there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings
from recorder.sse import Decoder
from tests.emulator.builders import STICKER, Json, fault_header, run_node, slow

QUEUE = f"/queue{STICKER}"
HOLDING = "/queue/workflows/me/holding"
SMALL: Json = {"prompt": "a cute puppy", "seed": 1, "image_size": {"width": 96, "height": 64}}


@contextmanager
def queue_of(**settings: Any) -> Iterator[httpx.Client]:
    """A client of an emulator with these settings of the queue, and a workflow that holds on."""
    chosen = EmulatorSettings(
        workflows={"me/holding": {"hold": run_node("x")}},
        queue=QueueSettings(**settings),
    )
    with EmulatorServer(chosen) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        yield http


def submit(
    client: httpx.Client,
    body: Json = SMALL,
    path: str = QUEUE,
    **faults: object,
) -> Json:
    """The reply to an accepted request."""
    answer = client.post(
        path,
        json=body,
        headers=fault_header(**faults) if faults else {},
    )
    assert answer.status_code == 200, answer.text
    reply: Json = answer.json()
    return reply


def hold_a_runner(client: httpx.Client) -> Json:
    """The reply to a request that stays in progress until it is cancelled."""
    return submit(client, {}, HOLDING, apps=slow(600))


def statuses(response: httpx.Response) -> Iterator[Json]:
    """The events of a status stream as they come."""
    decoder = Decoder()
    for chunk in response.iter_raw():
        for frame in decoder.feed(chunk):
            yield json.loads(frame.data)
    assert decoder.close() == b""


def follow(client: httpx.Client, reply: Json, logs: str = "0") -> list[Json]:
    """Every status of a request until it has ended."""
    url = f"{reply['status_url']}/stream"
    with client.stream("GET", url, params={"logs": logs}) as response:
        assert response.status_code == 200
        return list(statuses(response))
