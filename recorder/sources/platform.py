"""fal's platform API: what it tells of workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from recorder.definitions import MAX_BYTES
from recorder.errors import SourceError
from recorder.sources.fetching import fetch, new_async_client

_TIMEOUT_S: Final = 10.0


class _Workflow(msgspec.Struct):
    contents: msgspec.Raw


class _Answer(msgspec.Struct):
    workflow: _Workflow


_decode: Final = msgspec.json.Decoder(_Answer).decode


def definitions_at(api_url: str, key: str) -> Callable[[str], bytes]:
    """Looks up the definitions of workflows by their ids, `workflows/{owner}/{name}`.

    What is returned raises `SourceError` where the API has none or does not answer in time. It waits:
    call it from a thread that may.

    Args:
        api_url: The API's base.
        key: The fal key it wants; a workflow that is not public is told to its owner only.
    """

    async def get(workflow: str) -> bytes:
        async with new_async_client() as client:
            return await fetch(
                client,
                f"{api_url}/v1/{workflow}",
                headers={"authorization": f"Key {key}"},
                limit_bytes=2 * MAX_BYTES,  # there is more to a workflow than its definition
                timeout_s=_TIMEOUT_S,
            )

    return lambda workflow: read_definition(asyncio.run(get(workflow)))


def read_definition(answer: bytes) -> bytes:
    """The definition in the API's answer about a workflow: its `contents`, as they came.

    Raises:
        SourceError: The answer has none, or one that is too long.
    """
    try:
        contents = bytes(_decode(answer).workflow.contents)
    except (ValueError, RecursionError):
        raise SourceError("the platform API tells no contents of the workflow") from None
    if not contents.startswith(b"{") or len(contents) > MAX_BYTES:
        raise SourceError("the contents of the workflow are no object, or too long")
    return contents
