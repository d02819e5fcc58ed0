"""fal's Python clients, and what they see of scenes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import fal_client
import httpx
import pytest

from tests.clients.scenes import Scenes, at, workflow
from tests.proxy.asking import ask

Seen = list[Any]
"""Events, or what a call returned; then the end, or what was raised."""

Base = str | Callable[[str], str]
"""An address for all, or one for each path."""


class Looking:
    """The clients, and what they see of scenes.

    Args:
        base: Where they call.
        scenes: What is played.
        go: The upstream to tell, where it waits for that.
    """

    def __init__(self, base: Base, scenes: Scenes, *, go: str | None = None) -> None:
        self._base = base
        self._go = go
        self._scenes = scenes
        self._client = fal_client.SyncClient(key="id:secret")

    def close(self) -> None:
        self._client._client.close()

    def stream(self, name: str, at_workflow: str | None = None) -> Seen:
        """What the synchronous client sees of a stream."""
        seen: Seen = []
        app = at_workflow or workflow(name)
        with self._watching(seen, f"/{app}/stream"):
            for event in self._client.stream(app, {"seed": 1}):
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
            with self._watching(seen, f"/{workflow(name)}/stream"):
                async for event in client.stream(workflow(name), {"seed": 1}):
                    self._take(name, event, seen)
        await (await client._client).aclose()
        return views

    def call(self, name: str) -> Seen:
        """What the synchronous client sees of a plain call."""
        seen: Seen = []
        with self._watching(seen, f"/{workflow(name)}"):
            seen.append(self._client.run(workflow(name), {"seed": 1}))
        return seen

    def _take(self, name: str, event: Any, seen: Seen) -> None:
        seen.append(event)
        if self._go is not None and name in self._scenes.waiting and len(seen) == 1:
            ask(self._go, f"/go/{at(name)}", method="GET", body=b"")

    @contextmanager
    def _watching(self, seen: Seen, path: str) -> Iterator[None]:
        base = self._base if isinstance(self._base, str) else self._base(path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{base}/")
            try:
                yield
                seen.append("the end")
            except Exception as error:
                seen.append(_raised(error, base))


def _raised(error: Exception, base: str) -> tuple[Any, ...]:
    response = getattr(error, "response", None)
    told = None
    if isinstance(response, httpx.Response):
        with suppress(httpx.StreamError):
            told = response.status_code, response.text, response.headers["content-type"]
    return type(error).__qualname__, str(error).replace(base, "{base}"), told
