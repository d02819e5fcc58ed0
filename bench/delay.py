"""What recording adds to the delay of a chunk that is handed on, in the caller's process.

Streams of 400 B events are iterated by `asyncio` tasks, each chunk due at a time of its own: bare, and
through `Recorder.record` with a SQLite log on the disk. Two times are taken of every chunk. *Handing on*
is from the moment the source gives it until the caller has it: what `Recording.feed` takes, interruptions
by the writer's thread included. *Lateness* is from the moment it was due until the caller has it; so it
counts what the recording of other streams, and the writer, take of the event loop's time as well. It has
the event loop's own lateness in it, which the bare side shows.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from functools import partial

import msgspec

import recorder
from bench.material import frame, sqlite_file
from bench.measure import Result
from recorder.settings import Settings

PACES = ((1, 200), (100, 10))
"""Streams, and events a second of each."""

SECONDS = 3.0

Through = Callable[[AsyncIterable[bytes]], AsyncIterable[bytes]]


class Times(msgspec.Struct):
    """Of every chunk, in microseconds."""

    handing_on: list[float] = []
    lateness: list[float] = []


def results(rounds: int) -> Iterator[Result]:
    """One stream and a hundred; the median chunk, and the best of the slowest percent."""
    for streams, pace in PACES:
        sides = {
            "recorder": partial(_recorded, streams, pace),
            "bare iteration": partial(_bare, streams, pace),
        }
        runs: dict[str, list[Times]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, work in sides.items():
                runs[side].append(work())
        for what in ("handing_on", "lateness"):
            for percent in (50, 99):
                name = f"{what.replace('_', ' ')}, {streams} x {pace} events/s, p{percent}"
                medians = {
                    side: statistics.median(_percentile(times, what, percent) for times in each)
                    for side, each in runs.items()
                }
                yield Result(name, "us", medians, {}, rounds)


def _recorded(streams: int, pace: int) -> Times:
    with sqlite_file() as path, recorder.open(f"sqlite:///{path}", settings=Settings()) as rec:
        return asyncio.run(_all(streams, pace, lambda items: rec.record(items, workflow="w")))


def _bare(streams: int, pace: int) -> Times:
    return asyncio.run(_all(streams, pace, lambda items: items))


def _percentile(times: Times, what: str, percent: int) -> float:
    values: list[float] = getattr(times, what)
    return statistics.quantiles(values, n=100)[percent - 1]


async def _all(streams: int, pace: int, through: Through) -> Times:
    times = Times()
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            offset_s = number / streams / pace  # else all chunks would be due together
            group.create_task(_one(pace, offset_s, through, times))
    return times


async def _one(pace: int, offset_s: float, through: Through, times: Times) -> None:
    given_at = 0.0
    begins = time.perf_counter() + 0.1 + offset_s
    due = begins

    async def source() -> AsyncIterator[bytes]:
        nonlocal given_at, due
        chunk = frame(400)
        for number in range(round(SECONDS * pace)):
            due = begins + number / pace
            await asyncio.sleep(due - time.perf_counter())
            given_at = time.perf_counter()
            yield chunk

    async for _ in through(source()):
        now = time.perf_counter()
        times.handing_on.append((now - given_at) * 1e6)
        times.lateness.append((now - due) * 1e6)
