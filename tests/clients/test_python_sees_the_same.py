"""fal's Python client with the proxy and without it: the same events, the same exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest

from tests.clients.scenes import Scenes, at, workflow
from tests.proxy.asking import ask
from tests.proxy.stage import Stage, staged
from tests.proxy.upstream import LAST_CHUNK, Do, Upstream, chunk, chunked_head, fresh_id
from tests.trust.hostile.cases import IDS, ORDERS, PAYLOADS

HOSTILE = {**PAYLOADS, **IDS, **ORDERS}
LARGE = {"ten-megabytes", "ten-thousand-nodes"}  # these are in tests/proxy/test_bytes.py

Seen = list[Any]
"""Events, or what a call returned; then the end, or what was raised."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    path: Path = tmp_path_factory.mktemp("scenes") / "log.db"
    with Upstream() as upstream, staged(f"sqlite:///{path}", upstream) as running:
        yield running


@pytest.fixture(scope="module")
def scenes(stage: Stage) -> Scenes:
    found = Scenes(stage.upstream)
    stage.upstream.play(Do.READ)
    return found


@pytest.fixture(autouse=True)
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client makes of the first answer; see test_nobody_pays_twice for the others."""
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)


class Looking:
    """The clients at one address, and what they see there."""

    def __init__(self, base: str, upstream: Upstream, scenes: Scenes) -> None:
        self._base = base
        self._upstream = upstream
        self._scenes = scenes
        self._client = fal_client.SyncClient(key="id:secret")

    def close(self) -> None:
        self._client._client.close()

    def stream(self, name: str, at_workflow: str | None = None) -> Seen:
        """What the synchronous client sees of a stream."""
        seen: Seen = []
        with self._watching(seen):
            for event in self._client.stream(at_workflow or workflow(name), {"seed": 1}):
                self._take(name, event, seen)
        return seen

    def streams_async(self, names: Iterable[str]) -> dict[str, Seen]:
        """What the asynchronous client sees of streams."""
        return asyncio.run(self._streams_async(names))

    async def _streams_async(self, names: Iterable[str]) -> dict[str, Seen]:
        client = fal_client.AsyncClient(key="id:secret")
        views: dict[str, Seen] = {}
        for name in names:
            seen = views[name] = []
            with self._watching(seen):
                async for event in client.stream(workflow(name), {"seed": 1}):
                    self._take(name, event, seen)
        await (await client._client).aclose()
        return views

    def call(self, name: str) -> Seen:
        """What the synchronous client sees of a plain call."""
        seen: Seen = []
        with self._watching(seen):
            seen.append(self._client.run(workflow(name), {"seed": 1}))
        return seen

    def _take(self, name: str, event: Any, seen: Seen) -> None:
        seen.append(event)
        if name in self._scenes.waiting and len(seen) == 1:
            ask(self._upstream.url, f"/go/{at(name)}", method="GET", body=b"")

    @contextmanager
    def _watching(self, seen: Seen) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{self._base}/")
            try:
                yield
                seen.append("the end")
            except Exception as error:
                seen.append(self._raised(error))

    def _raised(self, error: Exception) -> tuple[Any, ...]:
        response = getattr(error, "response", None)
        told = None
        if isinstance(response, httpx.Response):
            with suppress(httpx.StreamError):
                told = response.status_code, response.text, response.headers["content-type"]
        message = str(error).replace(self._base, "{base}")
        return type(error).__qualname__, message, told


@pytest.fixture(scope="module")
def direct(stage: Stage, scenes: Scenes) -> Iterator[Looking]:
    looking = Looking(stage.upstream.url, stage.upstream, scenes)
    yield looking
    looking.close()


@pytest.fixture(scope="module")
def through(stage: Stage, scenes: Scenes) -> Iterator[Looking]:
    looking = Looking(stage.url, stage.upstream, scenes)
    yield looking
    looking.close()


def test_the_scenes_are_seen_as_they_are_documented(direct: Looking) -> None:
    """What the comparisons below compare is not all the same."""
    ends = {
        name: direct.stream(name)[-1]
        for name in ("whole", "bad JSON", "a done marker", "status 503", "cut in an event")
    }
    raised = {name: end[0] for name, end in ends.items() if name != "whole"}
    assert ends["whole"] == "the end"
    assert raised == {
        "bad JSON": "JSONDecodeError",
        "a done marker": "JSONDecodeError",
        "status 503": "SSEError",
        "cut in an event": "RemoteProtocolError",
    }


def test_every_stream_is_seen_alike(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.stream(name) for name in scenes.streams}
    assert {name: through.stream(name) for name in scenes.streams} == expected


def test_every_stream_is_seen_alike_by_the_asynchronous_client(
    direct: Looking, through: Looking, scenes: Scenes
) -> None:
    assert through.streams_async(scenes.streams) == direct.streams_async(scenes.streams)


def test_a_reset_is_seen_as_a_cut(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.stream(cut) for name, cut in scenes.resets.items()}
    assert {name: through.stream(name) for name in scenes.resets} == expected


def test_every_plain_call_is_seen_alike(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.call(name) for name in scenes.calls}
    assert {name: through.call(name) for name in scenes.calls} == expected


def test_every_hostile_body_is_seen_alike(stage: Stage, direct: Looking, through: Looking) -> None:
    def seen(looking: Looking, name: str) -> Seen:
        body = HOSTILE[name].make()
        stage.upstream.answer(chunked_head(fresh_id()), chunk(body) if body else b"", LAST_CHUNK)
        return looking.stream(name, "workflows/tests/hostile")

    names = sorted(set(HOSTILE) - LARGE)
    expected = {name: repr(seen(direct, name)) for name in names}
    assert {name: repr(seen(through, name)) for name in names} == expected
