"""Events of a given size, and fresh databases to put them into."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorder.events import NewEvent
from recorder.store import schema
from recorder.store.engine import Database, connect


def payload(size_bytes: int) -> str:
    """A completion event of about this size, in the way of fal."""
    event = {
        "type": "completion",
        "node_id": "stable_diffusion_xl",
        "output": {
            "images": [{"url": "", "width": 1024, "height": 1024, "content_type": "image/jpeg"}],
            "timings": {"inference": 2.1733},
            "seed": 6252023,
        },
    }
    padding = max(0, size_bytes - len(json.dumps(event)))
    event["output"]["images"][0]["url"] = "h" * padding  # type: ignore[index]
    return json.dumps(event)


def frame(size_bytes: int) -> bytes:
    """The same as a frame of a stream."""
    return f"data: {payload(size_bytes - 10)}\r\n\r\n".encode()


def batches(size_bytes: int, events: int, batch: int) -> list[list[NewEvent]]:
    """Events of fifty runs, cut into batches; made before the clock starts."""
    raw = frame(size_bytes)
    numbers = {f"run-{number}": itertools.count() for number in range(50)}
    names = itertools.cycle(numbers)
    made = []
    for _ in range(events // batch):
        group = []
        for _ in range(batch):
            name = next(names)
            group.append(
                NewEvent(
                    request_id=name,
                    seq=next(numbers[name]),
                    type="completion",
                    frame=raw,
                    received_at=1_795_414_635_647_972,
                    elapsed_us=123_456,
                    node_id="stable_diffusion_xl",
                    app_id="fal-ai/fast-sdxl",
                )
            )
        made.append(group)
    return made


@contextmanager
def sqlite_file() -> Iterator[Path]:
    """A path for a database, its folder gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder) / "log.db"


@contextmanager
def prepared(url: str) -> Iterator[Database]:
    """A database at our schema."""
    database = connect(url)
    schema.prepare(database, migrate=False)
    try:
        yield database
    finally:
        database.close()
