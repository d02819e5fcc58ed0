"""Segments that vanish or break while they are read: answers come from SQL, and are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from analytics import asking
from analytics.archive import Relations
from analytics.asking import Snapshot, snapshot
from analytics.exporting import Export, Relation
from analytics.prices import Prices
from analytics.question import Asked, Question
from analytics.questions.concurrency import Concurrency, Load
from analytics.questions.latency import Latency
from analytics.questions.paths import TimeSpent
from analytics.selection import Selection
from tests.analytics.segments.conftest import Segmented, moved
from tests.builders import completion, history, output, submit
from tests.clocks import NOVEMBER_2023_US

DAYS = 3
MANY_DAYS = 40
"""DuckDB opens files ahead; of so many, some are still unopened when the first piece comes."""


def vanish(path: Path) -> None:
    path.unlink()


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


HARMS = [vanish, break_off]


def harm(segmented: Segmented, how: Callable[[Path], None]) -> None:
    for path in segmented.root.rglob("*.parquet"):
        how(path)


def record(segmented: Segmented, days: int) -> Segmented:
    """A run a day, all in segments."""
    frames = (submit("a"), completion("a", inference_s=0.1), submit("b"), output())
    segmented.append(*[moved(history(f"run-{day}", *frames), day) for day in range(days)])
    segmented.export()
    return segmented


@pytest.fixture
def days(on_sqlite: Segmented) -> Segmented:
    return record(on_sqlite, DAYS)


@contextmanager
def read_little_by_little(days: Segmented) -> Iterator[Snapshot]:
    """A snapshot of the segments that reads on only as pieces are taken."""
    with duckdb.connect() as connection, ExitStack() as opened:
        connection.execute("SET streaming_buffer_size = '1B'; SET threads = 1")
        for kind in ("runs", "steps"):
            files = sorted(map(str, (days.root / kind).rglob("*.parquet")))
            connection.read_parquet(files).create_view(kind)

        def without_files() -> Relations:
            return opened.enter_context(days.archive.opened(Selection(), from_files=False))

        yield Snapshot(connection, 0, without_files)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("after_pieces", [0, 1, 2])
def test_an_answer_of_pieces_is_whole_whenever_files_vanish(
    on_sqlite: Segmented,
    how: Callable[[Path], None],
    after_pieces: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # DuckDB brings a question's small pieces together, but hands on those of a file as they are.
    monkeypatch.setattr(asking, "text_of", {"runs": "SELECT request_id FROM runs"}.__getitem__)
    monkeypatch.setattr(asking, "_BATCH_ROWS", 1)
    days = record(on_sqlite, MANY_DAYS)
    taken = 0

    def keep(batch: pa.RecordBatch) -> list[str]:
        nonlocal taken
        taken += 1
        if taken == after_pieces:
            harm(days, how)
        ids: list[str] = batch.column("request_id").to_pylist()
        return ids

    with read_little_by_little(days) as opened:
        if after_pieces == 0:
            harm(days, how)
        found = opened.gather("runs", lambda pieces: list(map(keep, pieces)))
        # A file that is open already can be read on, though it has vanished.
        assert opened.as_of_position > 0 or after_pieces
    whole = sorted(f"run-{day}" for day in range(MANY_DAYS))
    assert sorted(request_id for piece in found for request_id in piece) == whole


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize(
    "question",
    [
        Load.read({"measure": "duration"}),
        Concurrency.read({"bucket": "day"}),
        Latency.read({"by": "node"}),
        TimeSpent.read({}),
    ],
    ids=lambda question: type(question).__name__,
)
def test_every_kind_of_question_falls_back(
    days: Segmented, how: Callable[[Path], None], question: Question
) -> None:
    def answer(source: Any) -> pa.Table:
        with snapshot(source, question.selection) as opened:
            if source is days.archive:
                harm(days, how)
            now_us = NOVEMBER_2023_US + DAYS * 86_400_000_000
            return question.answer(Asked(opened, now_us=now_us, prices=_no_prices))

    assert answer(days.archive).to_pylist() == answer(days.rec.database).to_pylist() != []


def _no_prices() -> Prices | None:
    return None


@pytest.mark.parametrize("relation", ["runs", "steps", "events"])
def test_exports_read_no_segments(days: Segmented, relation: Relation) -> None:
    def exported() -> bytes:
        since = datetime.fromtimestamp(NOVEMBER_2023_US / 1e6, UTC) - timedelta(days=1)
        selection = Selection(since=int(since.timestamp() * 1e6))
        pieces = Export(days.rec.database, relation, "ndjson", selection).pieces()
        first = next(pieces)
        harm(days, vanish)
        return first + b"".join(pieces)

    whole = exported()
    assert whole.count(b"\n") == {"runs": 1, "steps": 2, "events": 6}[relation] * DAYS
    assert exported() == whole
