"""fal's own Python client, unchanged, at the emulator's queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import fal_client
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings
from tests.emulator.builders import Json, fault_header, slow
from tests.emulator.queueing import SMALL, receiver

STICKER = "workflows/fal-ai/sdxl-sticker"
TOO_MANY = SMALL | {"num_images": 9}
SLOW = fault_header(apps=slow(600))
POLL_S = 0.01


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorServer]:
    """An emulator with one runner that wants a key, where the client finds it."""
    settings = EmulatorSettings(queue=QueueSettings(runners=1), require_key=("id:secret",))
    with EmulatorServer(settings) as running:
        monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{running.url}/")
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{running.queue_url}/")
        yield running


@pytest.fixture
def client(server: EmulatorServer) -> Iterator[fal_client.SyncClient]:
    client = fal_client.SyncClient(key="id:secret")
    yield client
    client._client.close()


def kinds(seen: list[fal_client.Status]) -> list[str]:
    """The names of the statuses, each once for as long as it lasted."""
    names = [type(status).__name__ for status in seen]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


def test_submitting_waiting_and_getting(client: fal_client.SyncClient) -> None:
    held = client.submit(STICKER, SMALL, headers=SLOW)
    waiting, last = client.submit(STICKER, SMALL), client.submit(STICKER, SMALL)
    assert [held.status(), waiting.status(), last.status()] == [
        fal_client.InProgress(logs=None),
        fal_client.Queued(position=0),
        fal_client.Queued(position=1),
    ]
    held.cancel()
    seen = list(last.iter_events(with_logs=True, interval=POLL_S))
    completed = seen[-1]
    assert isinstance(completed, fal_client.Completed)
    assert completed.logs is not None
    assert completed.logs[-1]["message"] == "the workflow is done"
    assert completed.metrics["inference_time"] > 0
    assert completed.error is None
    plain: Json = client.run(STICKER, SMALL)
    assert [waiting.get(interval=POLL_S), last.get(interval=POLL_S)] == [plain, plain]


def test_asking_by_the_request_id(client: fal_client.SyncClient) -> None:
    held = client.submit(STICKER, SMALL, headers=SLOW)
    waiting = client.submit(STICKER, SMALL)
    assert client.status(STICKER, waiting.request_id) == fal_client.Queued(position=0)
    client.cancel(STICKER, held.request_id)
    assert client.result(STICKER, waiting.request_id) == client.run(STICKER, SMALL)


def test_subscribing_sees_the_run_from_the_queue_to_its_end(client: fal_client.SyncClient) -> None:
    held = client.submit(STICKER, SMALL, headers=SLOW)
    seen: list[fal_client.Status] = []

    def watch(status: fal_client.Status) -> None:
        if not seen:
            held.cancel()
        seen.append(status)

    result = client.subscribe(
        STICKER, SMALL, with_logs=True, interval=POLL_S, on_queue_update=watch
    )
    assert result == client.run(STICKER, SMALL)
    assert (kinds(seen)[0], kinds(seen)[-1]) == ("Queued", "Completed")


def test_a_failing_run_shows_when_its_result_is_fetched(client: fal_client.SyncClient) -> None:
    handle = client.submit(STICKER, TOO_MANY)
    completed = list(handle.iter_events(interval=POLL_S))[-1]
    assert isinstance(completed, fal_client.Completed)
    assert completed.error == "Invalid status code: 422"
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.get(interval=POLL_S)
    assert caught.value.status_code == 422
    assert caught.value.response.json()["detail"][0]["loc"] == ["body", "num_images"]


def test_cancelling_once_and_twice(client: fal_client.SyncClient) -> None:
    handle = client.submit(STICKER, SMALL, headers=SLOW)
    handle.cancel()
    assert kinds(list(handle.iter_events(interval=POLL_S)))[-1] == "Completed"
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.cancel()
    assert (caught.value.status_code, caught.value.response.json()) == (
        400,
        {"status": "ALREADY_COMPLETED"},
    )
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.get(interval=POLL_S)
    assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")


def test_a_webhook_given_to_the_client_is_called(client: fal_client.SyncClient) -> None:
    with receiver() as hook:
        handle = client.submit(STICKER, SMALL, webhook_url=f"{hook.url}?a=1&b=2")
        delivery = hook.next()
    assert delivery.path == "/hook?a=1&b=2"
    assert delivery.headers["x-fal-webhook-request-id"] == handle.request_id


def test_the_async_client_sees_the_same() -> None:
    async def talk() -> tuple[list[fal_client.Status], list[Json], int]:
        client = fal_client.AsyncClient(key="id:secret")
        held = await client.submit(STICKER, SMALL, headers=SLOW)
        waiting = await client.submit(STICKER, SMALL)
        seen = [await held.status(), await waiting.status()]
        await client.cancel(STICKER, held.request_id)
        seen += [status async for status in waiting.iter_events(interval=POLL_S)][-1:]
        results = [
            await waiting.get(interval=POLL_S),
            await client.result(STICKER, waiting.request_id),
            await client.subscribe(STICKER, SMALL, interval=POLL_S),
            await client.run(STICKER, SMALL),
        ]
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            await client.subscribe(STICKER, TOO_MANY, interval=POLL_S)
        await (await client._client).aclose()
        return seen, results, caught.value.status_code

    seen, results, status_code = asyncio.run(talk())
    assert kinds(seen) == ["InProgress", "Queued", "Completed"]
    assert results == [results[-1]] * 4
    assert status_code == 422
