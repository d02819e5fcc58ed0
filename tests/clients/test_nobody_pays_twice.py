"""fal's own clients with the retries they come with: what fails after it was sent is not sent again.

Called directly, they would send most of this up to ten times.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fal_client
import pytest

from tests.clients.node import needs_node, run_script
from tests.proxy.silences import SILENCES
from tests.proxy.stage import SERVER_PROXY, Stage, staged
from tests.proxy.upstream import Do, Upstream, chunk, chunked_head

TORN = (chunked_head(None), chunk(b'{"status": "IN_QUEUE", "request_id": "'))
SUFFIXES = {"run": "", "stream": "/stream", "submit": ""}


def workflow(number: int) -> str:
    return f"workflows/silent/{number}"


class Counting(Stage):
    """A stage whose upstream is silent in its own way at each workflow."""

    silences: ClassVar = [*SILENCES.values(), TORN]

    def begin(self) -> None:
        self.upstream.play(Do.READ)
        for number, steps in enumerate(self.silences):
            for path in (workflow(number), f"{workflow(number)}/stream"):
                # A torn answer that has begun is handed on as it is; only a submit's waits for its end.
                self.upstream.route(f"/{path}", *(() if steps is TORN else steps))
                self.upstream.route(f"/queue/{path}", *steps)

    def paid(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.split(b" ")[1].decode() for request in self.upstream.requests)

    def paid_once(self, prefix: str, suffix: str) -> Counter[str]:
        numbers = range(len(self.silences))
        return Counter(f"{prefix}/{workflow(number)}{suffix}" for number in numbers)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    path: Path = tmp_path_factory.mktemp("silent") / "log.db"
    with Upstream() as upstream, staged(f"sqlite:///{path}", upstream) as stage:
        yield Counting(upstream, stage.rec, stage.server)


@pytest.fixture
def stage(running: Counting, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{running.url}/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{running.url}/queue/")
    running.begin()
    return running


@pytest.fixture
def client() -> Iterator[fal_client.SyncClient]:
    client = fal_client.SyncClient(key="id:secret")
    yield client
    client._client.close()


def test_the_python_client_calls_once(stage: Counting, client: fal_client.SyncClient) -> None:
    for number in range(len(stage.silences)):
        with pytest.raises(fal_client.FalClientHTTPError) as raised:
            client.run(workflow(number), {"seed": 1})
        assert raised.value.status_code == 500
    assert stage.paid() == stage.paid_once("", "")


def test_the_python_client_submits_once(stage: Counting, client: fal_client.SyncClient) -> None:
    for number in range(len(stage.silences)):
        with pytest.raises(fal_client.FalClientHTTPError) as raised:
            client.submit(workflow(number), {"seed": 1})
        assert raised.value.status_code == 500
    assert stage.paid() == stage.paid_once("/queue", "")


def test_the_python_client_streams_once(stage: Counting, client: fal_client.SyncClient) -> None:
    for number in range(len(stage.silences)):
        with pytest.raises(Exception, match="text/event-stream"):
            list(client.stream(workflow(number), {"seed": 1}))
    assert stage.paid() == stage.paid_once("", "/stream")


@needs_node
@pytest.mark.parametrize("kind", ["run", "stream", "submit"])
def test_the_javascript_client_asks_once(stage: Counting, kind: str) -> None:
    numbers = range(len(stage.silences))
    scenes = [{"name": str(n), "kind": kind, "workflow": workflow(n)} for n in numbers]
    plan = {"proxyUrl": f"{stage.server.url}{SERVER_PROXY}", "scenes": scenes}
    views: dict[str, Any] = run_script("scenes.mjs", json.dumps(plan))
    errors = [
        view["end"]["error"] if kind == "stream" else view["error"] for view in views.values()
    ]
    assert [error["status"] for error in errors] == [500] * len(stage.silences)
    assert stage.paid() == stage.paid_once("/queue" if kind == "submit" else "", SUFFIXES[kind])
