"""The same calls through every door of fal's client, and what a caller sees of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Any

import fal_client

from recorder.bootstrap import Recorder

STICKER = "workflows/fal-ai/sdxl-sticker"
TINY = "workflows/acme/tiny"
TINY_TYPES = ["submit", "completion"] * 2 + ["output"]
INPUT = {"prompt": "a cute puppy", "seed": 6252023}
TOO_MANY = {**INPUT, "num_images": 9}

# The items a caller saw, and how it ended.
Seen = tuple[list[Any], str]
Stream = Callable[..., Seen]


def fault(**behaviour: Any) -> dict[str, str]:
    """The header that tells the emulator how to behave."""
    return {"x-emulator-fault": json.dumps(behaviour)}


@contextmanager
def sync_client(**settings: Any) -> Iterator[fal_client.SyncClient]:
    """A client whose connections are closed, which fal's leave open."""
    client = fal_client.SyncClient(**settings)
    try:
        yield client
    finally:
        client._client.close()


@asynccontextmanager
async def async_client() -> AsyncIterator[fal_client.AsyncClient]:
    """The same, asynchronous."""
    client = fal_client.AsyncClient()
    try:
        yield client
    finally:
        await closed(client)


async def closed(client: fal_client.AsyncClient) -> None:
    """Closes a client's connections."""
    await (await client._client).aclose()


def _seen(items: Iterator[Any], until: int | None) -> Seen:
    seen: list[Any] = []
    try:
        for item in islice(items, until):
            seen.append(item)  # noqa: PERF402  # what came before an error counts too
    except Exception as error:
        return seen, repr(error)
    finally:
        items.close()  # type: ignore[attr-defined]
    return seen, "end"


async def seen_async(items: AsyncIterator[Any], until: int | None = None) -> Seen:
    """Takes a stream's items, all or the first few."""
    seen: list[Any] = []
    try:
        async for item in items:
            seen.append(item)
            if len(seen) == until:
                break
    except Exception as error:
        return seen, repr(error)
    finally:
        await items.aclose()  # type: ignore[attr-defined]
    return seen, "end"


def stream_of_the_module(
    arguments: Any = INPUT, *, app: str = TINY, until: int | None = None, **more: Any
) -> Seen:
    return _seen(fal_client.stream(app, arguments, **more), until)


def stream_of_a_client(
    arguments: Any = INPUT, *, app: str = TINY, until: int | None = None, **more: Any
) -> Seen:
    with sync_client() as client:
        return _seen(client.stream(app, arguments, **more), until)


def stream_async_of_a_client(
    arguments: Any = INPUT, *, app: str = TINY, until: int | None = None, **more: Any
) -> Seen:
    async def call() -> Seen:
        async with async_client() as client:
            return await seen_async(client.stream(app, arguments, **more), until)

    return asyncio.run(call())


STREAMS: list[Stream] = [stream_of_the_module, stream_of_a_client, stream_async_of_a_client]


def payloads(rec: Recorder, request_id: str) -> list[Any]:
    """The payloads of the run's events from upstream, in order."""
    return [
        json.loads(logged.payload or b"null")
        for logged in rec.events(request_id)
        if logged.type not in ("opened", "closed")
    ]


def only_run(rec: Recorder) -> str:
    """The id of the one run there is."""
    [run] = rec.runs().runs
    return run.request_id
