"""Replays at the original rhythm: how far each event comes from when it should.

Served by another process, read by asyncio streams. A moment is told from the first event on, so that
what connecting takes is left out; the original's gaps are those of a run with steps, and of a blast.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from urllib.parse import urlsplit

from bench.measure import Result, compare
from bench.proxying import Part, some

EVENTS = 200
GAPS_MS = (0, 0, 1, 2, 5, 10, 20, 50, 100)
RUN = "/api/v1/runs/run/stream"
_ID = re.compile(rb"^id: (\d+)\n", re.MULTILINE)


def elapsed_us() -> list[int]:
    """When the events of the run came; the same each time."""
    gaps = random.Random(7).choices(GAPS_MS, k=EVENTS)
    return [1_000 * moment_ms for moment_ms in itertools.accumulate(gaps)]


def results(rounds: int) -> Iterator[Result]:
    """One replay, and ten at the same time."""
    part = Part(module="bench.rhythm")
    try:
        yield compare(
            "replay at speed 1: p95 of how far an event is from its moment",
            "ms",
            {"ten replays": partial(p95_ms, part, 10), "one replay": partial(p95_ms, part, 1)},
            rounds=rounds,
        )
    finally:
        part.end()


def p95_ms(part: Part, replays: int) -> float:
    """Over all events of some replays."""

    async def run() -> list[float]:
        each = await asyncio.gather(*(deviations_ms(part) for _ in range(replays)))
        return [deviation for deviations in each for deviation in deviations]

    return statistics.quantiles(asyncio.run(run()), n=100)[94]


async def deviations_ms(part: Part) -> list[float]:
    """How early or late each event of one replay is."""
    came_ns = await arrivals_ns(part)
    due_us = elapsed_us()
    return [
        abs((came_ns[seq] - came_ns[1]) / 1e6 - (due_us[seq - 1] - due_us[0]) / 1e3)
        for seq in range(1, EVENTS + 1)
    ]


async def arrivals_ns(part: Part) -> dict[int, int]:
    """When each event arrived, by its seq."""
    where = urlsplit(part.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"GET {RUN}?speed=1 HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
    came_ns = dict([each async for each in ids(reader, EVENTS)])
    writer.close()
    return came_ns


async def ids(reader: asyncio.StreamReader, count: int) -> AsyncIterator[tuple[int, int]]:
    """So many ids of a stream of events, with the nanosecond each of them arrived."""
    rest = b""
    while count:
        rest += await some(reader)
        now_ns = time.monotonic_ns()
        for found in _ID.findall(rest):
            yield int(found), now_ns
            count -= 1
        rest = rest[rest.rfind(b"\n") + 1 :]


def serve() -> None:
    """Serves the run until standard input ends; prints the base URL first."""
    from api.server import ApiServer
    from bench.material import frame
    from recorder.bootstrap import open as open_recorder
    from recorder.events import Closed, NewEvent, Opened, encode_document

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        moments_us = elapsed_us()
        opened = encode_document(Opened(workflow="workflows/b/r", source="proxy", status=200))
        closed = encode_document(Closed(reason="eof"))
        events = [
            NewEvent("run", 0, "opened", opened, 1, 0),
            *(
                NewEvent("run", seq, "completion", frame(400), 1, moment_us)
                for seq, moment_us in enumerate(moments_us, 1)
            ),
            NewEvent("run", EVENTS + 1, "closed", closed, 1, moments_us[-1]),
        ]
        with open_recorder(f"sqlite:///{folder}/log.db") as rec:
            rec.log.append(events)
            with ApiServer(rec) as server:
                print(server.url, flush=True)
                sys.stdin.read()


if __name__ == "__main__":
    serve()
