"""Millions of steps as segments: made by numpy, the same at every call, registered as if they had been exported.

    with material(10_000_000) as made:
        with snapshot(made.archive, Selection()) as opened: ...

The log below them is almost empty; what is appended to it and folded is the tail, as in real life.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from analytics.archive import Archive
from analytics.path_columns import path_columns
from analytics.schema import MOMENT, RUNS, STEPS
from analytics.segments import catalog
from analytics.segments.catalog import Change, Segment
from analytics.segments.files import DAY_US, day_of, new_segment, write_segment
from analytics.segments.folder import LocalFolder
from bench.material import prepared
from bench.rebuilding import fill
from recorder.graph import Graph, Node
from recorder.projector import Projector
from recorder.store.engine import Database
from recorder.store.generations import Checkpoint
from recorder.store.log import SqlLog

STEPS_PER_RUN: Final = 10
_TAIL_RUNS: Final = 435
DAYS: Final = 30
FIRST_US: Final = 20_000 * DAY_US
"""2024-10-04, the first of `DAYS` days."""

_WORKFLOWS: Final = [f"workflows/acme/{name}" for name in ("poster", "sticker", "video", "avatar", "upscale")]  # fmt: skip
APPS: Final = ["fal-ai/fast-sdxl", "fal-ai/flux", "fal-ai/imageutils", "fal-ai/any-llm", "fal-ai/esrgan"]  # fmt: skip
NODES: Final = [f"node_{number}" for number in range(STEPS_PER_RUN)]
"""Those of every workflow; each begins soon after the one before has finished."""
CHAIN: Final = Graph(
    nodes={
        node: Node(id=node, kind="run", waits_for=tuple(NODES[max(0, place - 1) : place]))
        for place, node in enumerate(NODES)
    }
)
"""What the definitions of the workflows have."""
_DEFINITIONS: Final = [f"{number:064x}" for number in range(len(_WORKFLOWS))]
_SIDES: Final = np.array([512, 768, 1024, 1536])


class Material(NamedTuple):
    """What was made.

    Attributes:
        database: SQLite, with the list of segments.
        archive: What to ask.
        files: The segments, to be read past us.
    """

    database: Database
    archive: Archive
    folder: Path
    files: list[Segment]

    def paths(self, kind: str) -> list[str]:
        """Where the files of a kind are."""
        return [str(self.folder / file.name) for file in self.files if file.kind == kind]


@contextmanager
def material(steps: int) -> Iterator[Material]:
    """So many steps in segments over `DAYS` days; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        path = Path(scratch)
        with prepared(f"sqlite:///{path / 'log.db'}") as database:
            files = register(database, path / "segments", steps=steps)
            folder = LocalFolder(path / "segments")
            with Archive(database, folder) as archive:
                yield Material(database, archive, path / "segments", files)


def add_tail(made: Material) -> None:
    """Appends and folds ten thousand events: what a worker leaves in SQL before it exports again.

    They follow the segments, as they do in life: else throughput would tell two years of empty hours.
    """
    after_us = FIRST_US + DAYS * DAY_US
    fill(made.database, runs=_TAIL_RUNS, nodes=STEPS_PER_RUN, name="tail", at_us=after_us)
    Projector(made.database, SqlLog(made.database)).catch_up()


def register(database: Database, folder: Path, *, steps: int) -> list[Segment]:
    """Writes segments below a folder and has them count for a database whose log is empty."""
    fill(database, runs=1)
    log = SqlLog(database)
    projected = Projector(database, log).catch_up()
    per_day = steps // STEPS_PER_RUN // DAYS
    files = []
    for day in range(DAYS):
        runs, its_steps = _day(day, per_day)
        name = day_of(FIRST_US + day * DAY_US)
        for segment, rows in ((new_segment("runs", name), runs), (new_segment("steps", name), its_steps)):  # fmt: skip
            files.append(write_segment(LocalFolder(folder), segment, _slices(rows)))
    with database.writing() as connection:
        start = catalog.claim(connection, catalog.RUNS_AND_STEPS, since_us=0)
        assert start is not None
        catalog.list_as_writing(connection, files, now_us=0)
        end = Checkpoint(projected.generation, projected.position, projected.chain)
        change = Change(start, end, files)
        catalog.commit(connection, catalog.RUNS_AND_STEPS, change, now_us=0)
    return files


def _slices(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, 50_000):
        yield rows.slice(start, 50_000)


def _day(day: int, runs: int) -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng(day)
    # More load at noon than at midnight, by choosing among moments with that density.
    hours = random.choice(24, runs, p=_DENSITY)
    opened_at = np.sort(FIRST_US + day * DAY_US + (hours * 3600 + random.random(runs) * 3600) * 1_000_000).astype("int64")  # fmt: skip
    place = np.arange(day * runs, (day + 1) * runs)
    workflow = random.integers(0, len(_WORKFLOWS), runs)
    failed = random.random(runs) < 0.02
    steps = _steps(random, place, opened_at, workflow, failed)
    submitted = steps.column("submitted_us").to_numpy().reshape(runs, STEPS_PER_RUN)
    durations = steps.column("duration_us").to_numpy().reshape(runs, STEPS_PER_RUN)
    duration = (submitted + durations).max(axis=1) + 20_000
    columns = {
        "request_id": _ids(place),
        "workflow": _words(_WORKFLOWS, workflow),
        "source": _words(["proxy"], np.zeros(runs, "int32")),
        "mode": _words(["stream"], np.zeros(runs, "int32")),
        "status": _words(["completed", "failed"], failed.astype("int32")),
        "opened_at": pa.array(opened_at, MOMENT),
        "closed_at": pa.array(opened_at + duration, MOMENT),
        "duration_us": pa.array(duration),
        "first_event_us": pa.array(random.integers(20_000, 90_000, runs)),
        "close_reason": _words(["eof"], np.zeros(runs, "int32")),
        "timed": pa.array(np.ones(runs, bool)),
        "events": pa.array(np.full(runs, 2 * STEPS_PER_RUN + 3)),
        "anomalies": _words(["{}"], np.zeros(runs, "int32")),
        "first_position": pa.array(place * 23 + 1),
        "as_of_position": pa.array(place * 23 + 23),
        "definition": _words(_DEFINITIONS, workflow),
        "input_digest": _digests(random.integers(0, max(1, runs // 2), runs) + day * runs),
        **_failures(failed),
    }
    return _whole(columns, RUNS), steps


def _steps(
    random: np.random.Generator,
    place: np.ndarray,
    opened_at: np.ndarray,
    workflow: np.ndarray,
    failed: np.ndarray,
) -> pa.Table:
    runs = len(place)
    count = runs * STEPS_PER_RUN
    node = np.tile(np.arange(STEPS_PER_RUN), runs)
    of_run = np.repeat(np.arange(runs), STEPS_PER_RUN)
    inference = np.exp(random.normal(13.5 + node * 0.08, 0.4)).astype("int64")
    overhead = np.exp(random.normal(11.0, 0.7, count)).astype("int64")
    duration = inference + overhead
    gap = np.exp(random.normal(8.5, 0.8, count)).astype("int64")
    ends = (gap + duration).reshape(runs, STEPS_PER_RUN).cumsum(axis=1)
    submitted = ends.ravel() - duration + 30_000
    broken = failed[of_run] & (node == STEPS_PER_RUN - 1)
    columns: dict[str, Any] = {
        "request_id": _ids(place).take(pa.array(of_run)),
        "workflow": _words(_WORKFLOWS, workflow[of_run]),
        "opened_at": pa.array(opened_at[of_run], MOMENT),
        "run_status": _words(["completed", "failed"], failed[of_run].astype("int32")),
        "definition": _words(_DEFINITIONS, workflow[of_run]),
        "node_id": _words(NODES, node),
        "attempt": pa.array(np.ones(count, "int64")),
        "app_id": _words(APPS, node % len(APPS)),
        "status": _words(["completed", "failed"], broken.astype("int32")),
        "submitted_us": pa.array(submitted),
        "finished_us": pa.array(submitted + duration),
        "duration_us": pa.array(duration),
        "inference_us": pa.array(inference, mask=broken),
        "overhead_us": pa.array(overhead, mask=broken),
        "images": pa.array(np.ones(count, "int64")),
        "image_width": pa.array(random.choice(_SIDES, count)),
        "image_height": pa.array(random.choice(_SIDES, count)),
        "seed": pa.array(random.integers(0, 2**31, count)).cast(pa.string()),
        "nsfw": pa.array((random.random(count) < 0.001).astype("int64")),
        **_failures(broken),
    }
    columns |= path_columns(of_run, columns, dict.fromkeys(_DEFINITIONS, CHAIN))
    return _whole(columns, STEPS)


_DENSITY: Final = np.array([1 + np.sin((hour - 6) / 24 * 2 * np.pi) for hour in range(24)]) / 24


def _failures(failed: np.ndarray) -> dict[str, pa.Array]:
    ok = ~failed
    return {
        "error_status": pa.array(np.full(len(failed), 422), mask=ok),
        "error_kind": _words(["value_error"], np.zeros(len(failed), "int32"), mask=ok),
        "error_message": _words(["upstream answered 422"], np.zeros(len(failed), "int32"), mask=ok),
    }


def _ids(place: np.ndarray) -> pa.Array:
    return pa.array([f"0192a{number:07x}-7000-8000-{number:012x}" for number in place.tolist()])


def _digests(inputs: np.ndarray) -> pa.Array:
    return pa.array([f"{number:064x}" for number in inputs.tolist()])


def _words(words: list[str], which: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32(), mask=mask), words).cast(
        pa.string()
    )


def _whole(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    count = len(columns["request_id"])
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
    return pa.Table.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )
