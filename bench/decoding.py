"""Bytes to typed events, against httpx-sse and json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial

from httpx_sse._decoders import SSEDecoder, SSELineDecoder

from bench.material import frame
from bench.measure import Result, compare
from recorder.events import parse
from recorder.sse import Decoder

CHUNK_BYTES = 65_536


def results(rounds: int) -> Iterator[Result]:
    """By size of event."""
    for size, events, goal in ((400, 20_000, 2.5), (4_096, 4_000, 2.0), (1 << 20, 20, 0.9)):
        body = frame(size) * events
        chunks = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        yield compare(
            f"decode and type events of {size} B",
            "events/s",
            {
                "recorder": partial(_rate, ours, chunks, events),
                "httpx-sse + json": partial(_rate, theirs, chunks, events),
            },
            goals={"httpx-sse + json": goal},
            rounds=rounds,
        )


def _rate(work: Callable[[list[bytes]], int], chunks: list[bytes], events: int) -> float:
    # CPU time: nothing here waits, so what else the machine does must not count.
    started = time.process_time()
    if work(chunks) != events:
        raise AssertionError("not all events came out")
    return events / (time.process_time() - started)


def ours(chunks: list[bytes]) -> int:
    """`recorder.sse` and `recorder.events`."""
    decoder, count = Decoder(), 0
    for chunk in chunks:
        for each in decoder.feed(chunk):
            parse(each.data)
            count += 1
    return count


def theirs(chunks: list[bytes]) -> int:
    """What fal's Python client does with the same bytes."""
    lines, decoder, count = SSELineDecoder(), SSEDecoder(), 0
    for chunk in chunks:
        for line in lines.decode(chunk.decode()):
            event = decoder.decode(line)
            if event is not None:
                json.loads(event.data)
                count += 1
    return count
