"""fal's own clients at the emulator's queue, through the proxy: what they see and what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest

from emulator.server import EmulatorServer
from recorder.documents import Exchange
from recorder.projections.runs import Run
from tests.clients.node import needs_node, run_script
from tests.clients.seen import STICKER
from tests.emulator.builders import fault_header, slow
from tests.emulator.queueing import SMALL
from tests.proxy.stage import SERVER_PROXY, Proxied, proxying

TOO_MANY = SMALL | {"num_images": 9}
HELD = fault_header(apps=slow(600))
POLL_S = 0.01


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxied(
    emulator: EmulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    path: Path = tmp_path_factory.mktemp("queue") / "log.db"
    with proxying(f"sqlite:///{path}", emulator.url) as (rec, server):
        yield Proxied(rec, server)


@pytest.fixture(autouse=True)
def clients_call_the_proxy(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{proxied.url}/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{proxied.url}/queue/")


@pytest.fixture(scope="module")
def client() -> Iterator[fal_client.SyncClient]:
    client = fal_client.SyncClient(key="id:secret")
    yield client
    client._client.close()


@pytest.fixture(scope="module")
def expected(emulator: EmulatorServer) -> Any:
    """What the emulator answers to a plain call, the proxy left out."""
    return httpx.post(f"{emulator.url}/{STICKER}", json=SMALL, timeout=30).json()


def asked(proxied: Proxied, request_id: str) -> list[str]:
    """What was asked about a run, by what is in the log of it."""
    events = [logged.event for logged in proxied.events(request_id)]
    return [event.what for event in events if isinstance(event, Exchange)]


def assert_followed(run: Run) -> None:
    """The queue's side of a run that went well is known."""
    assert (run.workflow, run.mode, run.status) == (STICKER, "queue", "completed")
    assert run.queue is not None
    assert run.queue.inference_us is not None
    assert run.queue.started_us is not None
    assert run.queue.completed_us == run.duration_us


def test_the_python_client_subscribes(
    client: fal_client.SyncClient, proxied: Proxied, expected: Any
) -> None:
    ids: list[str] = []
    result = client.subscribe(STICKER, SMALL, interval=POLL_S, on_enqueue=ids.append)
    [request_id] = ids
    assert result == expected
    assert_followed(proxied.run(request_id))
    first, *statuses, last = asked(proxied, request_id)
    assert (first, set(statuses), last) == ("submit", {"status"}, "result")


def test_the_asynchronous_client_subscribes(proxied: Proxied, expected: Any) -> None:
    ids: list[str] = []

    async def subscribe() -> Any:
        client = fal_client.AsyncClient(key="id:secret")
        result = await client.subscribe(STICKER, SMALL, interval=POLL_S, on_enqueue=ids.append)
        await (await client._client).aclose()
        return result

    assert asyncio.run(subscribe()) == expected
    assert_followed(proxied.run(ids[0]))


def test_the_python_client_is_given_addresses_of_the_recorder(
    client: fal_client.SyncClient, proxied: Proxied
) -> None:
    handle = client.submit(STICKER, SMALL)
    path = f"/fal/queue/{STICKER}/requests/{handle.request_id}"
    base = proxied.server.url
    assert (handle.response_url, handle.status_url, handle.cancel_url) == (
        f"{base}{path}",
        f"{base}{path}/status",
        f"{base}{path}/cancel",
    )
    handle.get(interval=POLL_S)


def test_the_python_client_sees_a_failure_with_its_result(
    client: fal_client.SyncClient, proxied: Proxied
) -> None:
    handle = client.submit(STICKER, TOO_MANY)
    with pytest.raises(fal_client.FalClientHTTPError) as raised:
        handle.get(interval=POLL_S)
    run = proxied.run(handle.request_id)
    assert (raised.value.status_code, run.status) == (422, "failed")
    assert run.error is not None
    assert (run.error.status, json.loads(run.error.body or "")) == (
        422,
        raised.value.response.json(),
    )


def test_the_python_client_cancels(client: fal_client.SyncClient, proxied: Proxied) -> None:
    handle = client.submit(STICKER, SMALL, headers=HELD)
    handle.cancel()
    with pytest.raises(fal_client.FalClientHTTPError):
        handle.get(interval=POLL_S)
    assert proxied.run(handle.request_id).status == "cancelled"


def test_the_python_client_goes_on_over_a_restart_of_the_recorder(
    emulator: EmulatorServer, sqlite_url: str, client: fal_client.SyncClient, expected: Any
) -> None:
    with proxying(sqlite_url, emulator.url) as (_, server), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{server.url}/fal/queue/")
        handle = client.submit(STICKER, SMALL)
        port = int(server.url.rpartition(":")[2])
    with proxying(sqlite_url, emulator.url, port=port) as (rec, server):
        assert handle.get(interval=POLL_S) == expected
        again = Proxied(rec, server)
        assert again.run(handle.request_id).status == "interrupted"
        assert again.run(f"{handle.request_id}~2").status == "completed"


@needs_node
def test_the_javascript_client_sees_and_leaves_the_same(proxied: Proxied, expected: Any) -> None:
    told = {"workflow": STICKER, "input": SMALL}
    plan = {
        "proxyUrl": f"{proxied.server.url}{SERVER_PROXY}",
        "scenes": [
            {"name": "polling", "kind": "subscribe", "mode": "polling", **told},
            {"name": "streaming", "kind": "subscribe", "mode": "streaming", **told},
            {"name": "failing", "kind": "subscribe", **told, "input": TOO_MANY},
            {"name": "cancelling", "kind": "cancel", "headers": HELD, **told},
        ],
    }
    seen: dict[str, Any] = run_script("scenes.mjs", json.dumps(plan))
    for mode in ("polling", "streaming"):
        assert (seen[mode]["data"], seen[mode]["updates"][-1]) == (expected, "COMPLETED")
        assert_followed(proxied.run(seen[mode]["requestId"]))
    assert set(asked(proxied, seen["polling"]["requestId"])) == {"submit", "status", "result"}
    streamed = asked(proxied, seen["streaming"]["requestId"])
    assert {"submit", "status_stream", "result"} <= set(streamed)
    failed = seen["failing"]["error"]
    assert (failed["name"], failed["status"]) == ("ValidationError", 422)
    assert proxied.run(failed["requestId"]).status == "failed"
    assert (seen["cancelling"]["status"], seen["cancelling"]["result"]["status"]) == (
        "COMPLETED",
        499,
    )
    assert proxied.run(seen["cancelling"]["requestId"]).status == "cancelled"
