"""Two hundred streams at the same time in one instrumented program."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import fal_client
import pytest

from recorder.bootstrap import Recorder
from recorder.instrumentation import Instrumentation
from recorder.recording import body_part
from recorder.store.log import run_events
from tests.builders import completion, output, submit
from tests.core.raw_server import chunked, head
from tests.logs import WAIT_S
from tests.sdk.calls import TINY, async_client
from tests.sdk.conftest import call_fal_at

STREAMS = 200
CLIENTS = 4
"""A client of fal's has a hundred connections at most."""


def frames(number: int) -> list[bytes]:
    node = f"node-{number}"
    return [submit(node), completion(node, inference_s=0.1), output(number)]


class Endpoint:
    """Answers each request with frames of its own; none goes on before all have begun."""

    def __init__(self) -> None:
        self._begun = 0
        self._all_begun = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head_of_request = await reader.readuntil(b"\r\n\r\n")
        length = int(head_of_request.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        number = json.loads(await reader.readexactly(length))["number"]
        first, *rest = frames(number)
        begin = head(
            "200 OK", f"X-Fal-Request-Id: run-{number}", "Transfer-Encoding: chunked",
            "Connection: close",
        )  # fmt: skip
        writer.write(begin + chunked(first, complete=False))
        self._begun += 1
        if self._begun == STREAMS:
            self._all_begun.set()
        await self._all_begun.wait()
        for frame in rest:
            writer.write(chunked(frame, complete=False))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()


async def read_all(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Reads all streams at the same time; returns the types of the events each saw."""
    server = await asyncio.start_server(Endpoint().answer, "127.0.0.1", 0, backlog=STREAMS)
    call_fal_at("http://{}:{}".format(*server.sockets[0].getsockname()), monkeypatch)

    async def read(client: fal_client.AsyncClient, number: int) -> list[str]:
        return [event["type"] async for event in client.stream(TINY, {"number": number})]

    async with server, asyncio.timeout(2 * WAIT_S), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(async_client()) for _ in range(CLIENTS)]
        reading = [read(clients[number % CLIENTS], number) for number in range(STREAMS)]
        return await asyncio.gather(*reading)


def test_two_hundred_streams_at_once_are_recorded_each_by_itself(
    instrumented: Instrumentation, rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asyncio.run(read_all(monkeypatch))
    assert seen == [["submit", "completion", "output"]] * STREAMS
    assert instrumented.flush(WAIT_S)
    for number in range(STREAMS):
        rows = list(run_events(rec.log, f"run-{number}"))
        assert b"".join(map(body_part, rows)) == b"".join(frames(number))
    runs = rec.runs(limit=STREAMS + 1).runs
    assert [run.status for run in runs] == ["completed"] * STREAMS
    assert {json.dumps(dict(run.anomalies)) for run in runs} == {"{}"}
