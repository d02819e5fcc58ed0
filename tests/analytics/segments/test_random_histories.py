"""Random histories, exported, broken off, merged and erased in any order: segments never change an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.segments.catalog import EVENTS, RUNS_AND_STEPS
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.analytics.segments.conftest import DAY_US, Segmented, moved, told
from tests.clocks import NOVEMBER_2023_US
from tests.histories import logs

_numbers = count()

steps = st.lists(
    st.sampled_from(["append", "append", "round", "events", "all", "erase", "day", "rebuild"]),
    min_size=1,
    max_size=8,
)
windows = st.sampled_from(
    [
        Selection(),
        Selection(since=NOVEMBER_2023_US + DAY_US),
        Selection(since=NOVEMBER_2023_US, until=NOVEMBER_2023_US + DAY_US),
        Selection(node="a"),
        Selection(status="completed", app="fal-ai/app"),
        Selection(workflow="workflows/a/b"),
    ]
)


@contextmanager
def fresh(rec: Recorder) -> Iterator[Segmented]:
    """Segments of their own for a log that examples share."""
    with TemporaryDirectory() as folder:
        made = Segmented(rec, Path(folder))
        for columns in (RUNS_AND_STEPS, EVENTS):
            made.exporter(columns).start_over()
        try:
            yield made
        finally:
            made.archive.close()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), steps, windows)
def test_answers_are_the_same_with_and_without_segments(
    sqlite_rec: Recorder, data: st.DataObject, what: list[str], window: Selection
) -> None:
    with fresh(sqlite_rec) as segmented:
        for each in what:
            _do(segmented, each, data)
            with_segments = told(segmented.archive, window)
            assert with_segments == told(sqlite_rec.database, window), each
        segmented.export(events=True)
        assert segmented.told(window) == segmented.told_by_sql(window)
        assert segmented.files() == segmented.listed_files()


def _do(segmented: Segmented, what: str, data: st.DataObject) -> None:
    match what:
        case "append":
            segmented.append(_renamed(data.draw(logs()), data.draw(st.integers(0, 2))))
        case "round":
            segmented.exporter(round_rows=1).round()
        case "events":
            segmented.exporter(EVENTS).round()
        case "all":
            segmented.export()
        case "day":
            segmented.now_us += DAY_US
        case "rebuild":
            segmented.rec.rebuild()
        case _:
            with segmented.rec.database.writing() as connection:
                connection.exec_driver_sql(
                    "UPDATE events SET frame = NULL, salt = NULL WHERE position % 7 = 3"
                )


def _renamed(events: list[NewEvent], days: int) -> list[NewEvent]:
    """Runs nobody has recorded before."""
    number = next(_numbers)
    return moved(
        [
            msgspec.structs.replace(each, request_id=f"{number}-{each.request_id}")
            for each in events
        ],
        days,
    )
