"""Pages of runs out of a million, against a bare handler that answers the same.

The rows are written past the log, straight into the projection: what is measured is reading them. Servers
and load are processes of their own.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

from api import cursor
from bench.measure import Result, compare
from recorder.bootstrap import open as open_recorder

RUNS = 1_000_000
EVENTS_A_RUN = 9
STEPS_A_RUN = 3
PAGE = 50
CONNECTIONS = 4
SECONDS = 3.0

_NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
)
_FILL_RUNS = _NUMBERS + (
    "INSERT INTO runs (generation, request_id, workflow, source, status, opened_at, closed_at, duration_us, "
    "first_event_us, close_reason, timed, events, first_position, as_of_position, anomalies, mode, "
    "input_digest) SELECT 1, printf('%08x-0000-7000-8000-%012x', n, n), "
    "'workflows/acme/' || (n % 7), 'proxy', CASE WHEN n % 20 THEN 'completed' ELSE 'failed' END, "
    "1700000000000000 + n * 1000000, 1700000000000000 + n * 1000000 + 7000000, 7000000 + n % 1000, 150000, "
    "'eof', 1, ?, (n - 1) * ? + 1, n * ?, '{}', 'stream', printf('%064x', n) FROM numbers"
)
_FILL_STEPS = (
    "INSERT INTO steps (generation, request_id, node_id, attempt, first_seq, app_id, step_request_id, status, "
    "submitted_us, finished_us, inference_us) SELECT 1, request_id, 'node-' || value, 1, value * 2 + 1, "
    "'fal-ai/app-' || value, printf('%d-%s', value, request_id), 'completed', value * 2000000, "
    "value * 2000000 + 1900000, 1700000 FROM runs, json_each(?) WHERE generation = 1"
)


def results(rounds: int) -> Iterator[Result]:
    """Pages anywhere, then the first against the last."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["RECORDER_SPOOL"] = f"{folder}/spool"
        path = f"{folder}/log.db"
        fill(path)
        recorder, bare = Server("recorder", path), Server("bare", path)
        try:
            yield compare(
                f"GET /runs, pages of {PAGE} anywhere in {RUNS:,} runs of {STEPS_A_RUN} steps",
                "requests/s",
                {
                    "recorder": partial(rate, recorder, anywhere),
                    "bare FastAPI, sqlite3, msgspec": partial(rate, bare, anywhere),
                },
                goals={"bare FastAPI, sqlite3, msgspec": 0.75},
                rounds=rounds,
            )
            yield compare(
                "GET /runs, the last page against the first",
                "requests/s",
                {
                    "the last page": partial(rate, recorder, last),
                    "the first page": partial(rate, recorder, first),
                },
                goals={"the first page": 0.9},
                rounds=rounds,
            )
        finally:
            recorder.end()
            bare.end()


def fill(path: str) -> None:
    """Makes a database whose projection holds all the runs."""
    open_recorder(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")
        [[generation]] = connection.execute("SELECT generation FROM projections")
        if generation != 1:
            raise AssertionError("a new projection has another generation than it had")
        each = (EVENTS_A_RUN, EVENTS_A_RUN, EVENTS_A_RUN)
        connection.execute(_FILL_RUNS, (RUNS, *each))
        connection.execute(_FILL_STEPS, (str(list(range(STEPS_A_RUN))),))
        connection.execute("UPDATE projections SET position = ?", (RUNS * EVENTS_A_RUN,))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Server:
    """A process of `bench.paging_parts`."""

    def __init__(self, part: str, path: str) -> None:
        self.part = part
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.paging_parts", part, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def query(self, before: int) -> str:
        """The query of a page below a position, in the words of the part."""
        told = f"before={before}" if self.part == "bare" else f"cursor={cursor.encode(before)}"
        return f"limit={PAGE}&{told}"

    def end(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def anywhere() -> int:
    """A position to page on from."""
    return random.randrange(PAGE + 1, RUNS) * EVENTS_A_RUN


def first() -> int:
    """The position above the newest run."""
    return RUNS * EVENTS_A_RUN + 1


def last() -> int:
    """The position above the oldest page."""
    return (PAGE + 1) * EVENTS_A_RUN


def rate(server: Server, where: Callable[[], int]) -> float:
    """Requests/s over a few connections that stay open."""

    async def run() -> float:
        started = time.perf_counter()
        counts = await asyncio.gather(
            *(ask(server, where, started + SECONDS) for _ in range(CONNECTIONS))
        )
        return sum(counts) / (time.perf_counter() - started)

    return asyncio.run(run())


async def ask(server: Server, where: Callable[[], int], until_s: float) -> int:
    """Asks for one page after the other; returns how many came."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
    pages = 0
    while time.perf_counter() < until_s:
        writer.write(
            f"GET /api/v1/runs?{server.query(where())} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200 ") or body.count(b'"node-') < PAGE * STEPS_A_RUN:
            raise AssertionError("a page did not come out")
        pages += 1
    writer.close()
    return pages
