"""The recording proxy, against the endpoint itself and against a bare proxy on the same client library.

Endpoint, proxies and load are processes of their own. A paced stream's events tell when they were sent,
so a delay is measured from there to the client's socket, on one machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bench.measure import Result, compare

PATH = "/workflows/bench/run/stream"
END = b"\r\n0\r\n\r\n"
_SENT = re.compile(rb'"sent_ns": (\d+)')

ONE = {"events": 400, "interval_s": 0.005}
HUNDRED = {"events": 25, "interval_s": 0.2}
BLAST = {"events": 60_000}
SHORT = {"events": 3}
IDLE = {"events": 1, "pings": 20, "ping_s": 0.5}
OPEN = {"events": 1, "pings": 10, "ping_s": 0.5}
IDLE_STREAMS = 500
IDLE_CPU_S = 0.02
"""A part that takes no more than this in 0.2 s has nothing to do."""


class Part:
    """A process of `bench.proxy_parts`, or of another module that is made of parts."""

    def __init__(self, *arguments: str, module: str = "bench.proxy_parts") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.url = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def usage(self) -> dict[str, float]:
        """CPU seconds and resident bytes so far."""
        told: dict[str, float] = self.ask()
        return told

    def ask(self) -> Any:
        """What the part has to tell."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def end(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def parts() -> Iterator[dict[str, Part]]:
    """The endpoint, and the proxies before it."""
    with ExitStack() as stack:

        def run(*arguments: str) -> Part:
            part = Part(*arguments)
            stack.callback(part.end)
            return part

        endpoint = run("upstream")
        yield {
            "recorder": run("recorder", "--target", endpoint.url),
            "recorder, recording nothing": run(
                "recorder", "--target", endpoint.url, "--record", "none"
            ),
            "bare aiohttp proxy": run("bare", "--target", endpoint.url),
            "direct": endpoint,
        }


def results(rounds: int) -> Iterator[Result]:
    """Delay, blast, new streams, many streams, idle streams."""
    with parts() as running:

        def sides(work: Callable[[Part], float], *names: str) -> dict[str, Callable[[], float]]:
            return {name: partial(work, running[name]) for name in names or running}

        yield compare(
            "proxy: p50 of the delay of an event, one stream",
            "ms",
            sides(lambda part: delay_ms(part, 1, ONE, 50)),
            rounds=rounds,
        )
        yield compare(
            "proxy: p99 of the delay of an event, 100 streams at 5 events/s",
            "ms",
            sides(lambda part: delay_ms(part, 100, HUNDRED, 99)),
            rounds=rounds,
        )
        yield compare(
            "proxy: a blast of events of 400 B on one stream",
            "events/s",
            sides(blast),
            goals={"recorder, recording nothing": 0.5},
            rounds=rounds,
        )
        yield compare(
            "proxy: new streams of 3 events", "streams/s", sides(new_streams), rounds=rounds
        )
        idle_of = ("recorder", "bare aiohttp proxy")
        yield compare(
            f"proxy: CPU of {IDLE_STREAMS} idle streams, two pings a second each",
            "% of a core",
            sides(idle, *idle_of),
            rounds=1,
        )
        target = ("--target", running["direct"].url)
        yield compare(
            f"proxy: memory of an open stream, of {IDLE_STREAMS} in a fresh process",
            "KB",
            {
                "recorder": partial(memory_kb, "recorder", *target),
                "bare aiohttp proxy": partial(memory_kb, "bare", *target),
            },
            rounds=rounds,
        )


def delay_ms(part: Part, streams: int, wanted: dict[str, Any], percent: int) -> float:
    """A percentile of the delays of all events of some streams."""

    async def run() -> list[float]:
        each = [read(part, wanted, starts_after_s=n * 0.2 / streams) for n in range(streams)]
        return [delay for delays in await asyncio.gather(*each) for delay in delays]

    return statistics.quantiles(asyncio.run(run()), n=100)[percent - 1]


def blast(part: Part) -> float:
    """Events/s of one stream sent as fast as it goes."""
    started = time.perf_counter()
    received = asyncio.run(drain(part, BLAST))
    took_s = time.perf_counter() - started
    if received < BLAST["events"] * 380:
        raise AssertionError("not all events came out")
    settle(part)
    return BLAST["events"] / took_s


def settle(part: Part) -> None:
    """Waits until a part is idle: what is still to be written would slow down the next side, or round."""
    before_s, now_s = -1.0, 0.0
    while now_s - before_s > IDLE_CPU_S:
        time.sleep(0.2)
        before_s, now_s = now_s, part.usage()["cpu_s"]


def new_streams(part: Part, *, workers: int = 32, seconds: float = 2.0) -> float:
    """Streams/s, each on a connection of its own."""

    async def work(stop_s: float) -> int:
        done = 0
        while time.perf_counter() < stop_s:
            await drain(part, SHORT)
            done += 1
        return done

    async def run() -> float:
        started = time.perf_counter()
        counts = await asyncio.gather(*(work(started + seconds) for _ in range(workers)))
        return sum(counts) / (time.perf_counter() - started)

    return asyncio.run(run())


def idle(part: Part) -> float:
    """CPU in percent of a core of many streams that only ping."""

    async def run() -> float:
        streams = [asyncio.ensure_future(drain(part, IDLE)) for _ in range(IDLE_STREAMS)]
        await asyncio.sleep(3)
        begun = part.usage()
        await asyncio.sleep(5)
        ended = part.usage()
        await asyncio.gather(*streams)
        return (ended["cpu_s"] - begun["cpu_s"]) / 5 * 100

    return asyncio.run(run())


def memory_kb(*arguments: str) -> float:
    """Resident memory a stream of many that are open, beyond what the process has after its first one."""
    part = Part(*arguments)

    async def run() -> float:
        await drain(part, SHORT)
        before = part.usage()["rss"]
        streams = [asyncio.ensure_future(drain(part, OPEN)) for _ in range(IDLE_STREAMS)]
        await asyncio.sleep(3)
        opened = part.usage()["rss"]
        await asyncio.gather(*streams)
        return (opened - before) / IDLE_STREAMS / 1000

    try:
        return asyncio.run(run())
    finally:
        part.end()


async def read(part: Part, wanted: dict[str, Any], *, starts_after_s: float = 0) -> list[float]:
    """Reads a stream to its end; returns the delay of each event in milliseconds."""
    await asyncio.sleep(starts_after_s)
    reader, writer = await ask(part, wanted)
    delays: list[float] = []
    rest = b""
    while not rest.endswith(END):
        received = await some(reader)
        now_ns = time.monotonic_ns()
        # A paced event comes in one piece, so one that is not whole yet can wait.
        whole, _, rest = (rest + received).rpartition(b"}\r\n\r\n")
        delays += [(now_ns - int(sent)) / 1e6 for sent in _SENT.findall(whole)]
    writer.close()
    return delays


async def drain(part: Part, wanted: dict[str, Any]) -> int:
    """Reads a stream to its end without looking at it; returns how many bytes came."""
    reader, writer = await ask(part, wanted)
    size, tail = 0, b""
    while not tail.endswith(END):
        received = await some(reader)
        size += len(received)
        tail = (tail + received)[-len(END) :]
    writer.close()
    return size


async def ask(
    part: Part, wanted: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a request, on a connection of its own."""
    where = urlsplit(part.url)
    body = json.dumps(wanted).encode()
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
    writer.write(
        f"POST {where.path}{PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return reader, writer


async def some(reader: asyncio.StreamReader) -> bytes:
    """What has arrived."""
    received = await reader.read(1 << 20)
    if not received:
        raise ConnectionError("the stream was cut")
    return received
