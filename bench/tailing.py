"""From a commit to those who follow the log: a hundred of them, over HTTP.

On SQLite the service commits itself; on PostgreSQL another process does, and the service hears of it by
LISTEN and NOTIFY. Followers are in a process of their own. A commit's moment is when its append
returned, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.measure import Result, compare
from bench.proxying import Part
from bench.rhythm import ids
from tests.postgres import running_postgres

if TYPE_CHECKING:
    from recorder.store.log import EventLog

FOLLOWERS = 100
COMMITS = 100
INTERVAL_S = 0.04
ASK = b"GET /api/v1/events HTTP/1.1\r\nhost: bench\r\n\r\n"

ComesIn = dict[int, int]
"""When each event, by its position, was there, in nanoseconds."""


def results(rounds: int) -> Iterator[Result]:
    """The 99th percentile over all commits and followers, on both databases."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        server = stack.enter_context(running_postgres())
        sqlite = _part(stack, f"sqlite:///{folder}/log.db")
        postgres_url = server.url(server.create())
        postgres = _part(stack, postgres_url)
        committing = _part(stack, postgres_url, "--only-commit")
        yield compare(
            f"p99 of the delay from a commit to {FOLLOWERS} followers",
            "ms",
            {
                "PostgreSQL, another process commits": partial(p99_ms, postgres, committing),
                "SQLite, the service commits": partial(p99_ms, sqlite, sqlite),
            },
            rounds=rounds,
        )


def _part(stack: ExitStack, *arguments: str) -> Part:
    part = Part(*arguments, module="bench.tailing")
    stack.callback(part.end)
    return part


def p99_ms(service: Part, committing: Part) -> float:
    """Lets some commits be followed."""
    seen, committed = asyncio.run(follow(service, committing))
    delays_ms = [
        max(0.0, (came_ns - committed[position]) / 1e6)  # it may come before its append returns
        for each in seen
        for position, came_ns in each.items()
    ]
    if len(delays_ms) != FOLLOWERS * COMMITS:
        raise AssertionError("not all events reached all followers")
    return statistics.quantiles(delays_ms, n=100)[98]


async def follow(service: Part, committing: Part) -> tuple[list[ComesIn], ComesIn]:
    """When each follower saw each event, and when it was committed."""
    where = urlsplit(service.url)
    ready = asyncio.Semaphore(0)

    async def one() -> ComesIn:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        ready.release()
        came = dict([each async for each in ids(reader, COMMITS)])
        writer.close()
        return came

    followers = [asyncio.ensure_future(one()) for _ in range(FOLLOWERS)]
    for _ in followers:
        await ready.acquire()
    told = await asyncio.to_thread(committing.ask)
    return await asyncio.gather(*followers), {int(position): at for position, at in told.items()}


def commit(log: EventLog, run: int) -> ComesIn:
    """Commits events of a run one by one, at a steady pace."""
    from bench.material import frame
    from recorder.events import NewEvent
    from recorder.store.log import Receipt

    committed: ComesIn = {}
    started_s = time.monotonic()
    for seq in range(COMMITS):
        time.sleep(max(0.0, started_s + (seq + 1) * INTERVAL_S - time.monotonic()))
        event = NewEvent(f"run-{run}", seq, "completion", frame(400), 1, seq)
        [outcome] = log.append([event])
        now_ns = time.monotonic_ns()
        assert isinstance(outcome, Receipt)
        committed[outcome.position] = now_ns
    return committed


def serve(url: str, *, only_commit: bool) -> None:
    """Serves the log and commits to it when told to; prints the base URL first."""
    from api.server import ApiServer
    from recorder.bootstrap import open as open_recorder

    with open_recorder(url) as rec, ExitStack() as stack:
        print("-" if only_commit else stack.enter_context(ApiServer(rec)).url, flush=True)
        for run, _ in enumerate(sys.stdin):
            print(json.dumps(commit(rec.log, run)), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], only_commit="--only-commit" in sys.argv)
