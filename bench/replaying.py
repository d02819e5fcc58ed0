"""Replays at full speed, against the same bytes from a file by the same server.

Server and reader are processes of their own; the reader takes the bytes from the socket and looks at
nothing but their end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import httpx

from bench.measure import Result, compare
from bench.proxying import Part

EVENTS = 100_000
RUN = "/api/v1/runs/run/stream?speed=max"


def results(rounds: int) -> Iterator[Result]:
    """A run of many events of 400 B, well-formed and as it was."""
    part = Part("replay", "--events", str(EVENTS))
    try:
        yield compare(
            "replay at full speed, events of 400 B",
            "events/s",
            {
                "recorder, well-formed": partial(rate, part, RUN),
                "recorder, the exact bytes": partial(rate, part, f"{RUN}&raw=1"),
                "the same bytes from a file": partial(rate, part, "/floor"),
            },
            rounds=rounds,
        )
    finally:
        part.end()


def rate(part: Part, path: str) -> float:
    """Events/s of one replay."""
    started = time.perf_counter()
    with httpx.stream("GET", f"{part.url}{path}", timeout=60, trust_env=False) as response:
        size_bytes = sum(map(len, response.iter_raw(1 << 20)))
    if size_bytes < EVENTS * 390:
        raise AssertionError("not all events came out")
    return EVENTS / (time.perf_counter() - started)
