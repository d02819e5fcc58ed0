"""What is kept from one answer to the next never makes one old, and is given up once nobody reads it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analytics import connections
from analytics.asking import Source, snapshot
from analytics.selection import Selection
from tests.analytics.segments.conftest import Segmented
from tests.analytics.segments.test_changes import step
from tests.builders import completion, history, new_event, output, submit

SELECTIONS = [Selection(), Selection(node="a"), Selection(status="completed"), Selection(since=0)]


def rows(source: Source, selection: Selection) -> list[tuple[Any, ...]]:
    with snapshot(source, selection) as opened:
        query = (
            "SELECT request_id, run_status, node_id, status, finished_us FROM steps ORDER BY ALL"
        )
        steps = opened._connection.sql(query).fetchall()
        query = "SELECT request_id, status, duration_us, events FROM runs ORDER BY ALL"
        return [*steps, *opened._connection.sql(query).fetchall(), (opened.as_of_position,)]


def assert_nothing_is_old(segmented: Segmented) -> None:
    for selection in SELECTIONS:
        for _ in range(2):  # with relations made anew, and with those of before
            expected = rows(segmented.rec.database, selection)
            assert rows(segmented.archive, selection) == expected


def test_every_change_shows_in_the_next_answer(segmented: Segmented) -> None:
    segmented.append(step("a"))
    assert_nothing_is_old(segmented)
    segmented.export()
    assert_nothing_is_old(segmented)
    segmented.append(history("open", submit("a"), reason=None), step("b"))
    assert_nothing_is_old(segmented)
    going_on = [
        new_event("open", seq, frame)
        for seq, frame in enumerate((completion("a"), submit("b"), output()), 2)
    ]
    for event in going_on:
        segmented.append([event])
        assert_nothing_is_old(segmented)
    segmented.export()
    assert_nothing_is_old(segmented)
    segmented.rec.rebuild()
    assert_nothing_is_old(segmented)


def tails(segmented: Segmented) -> list[list[str]]:
    """The runs in each tail that is in a file."""
    scratch = segmented.archive._connections._scratch
    assert scratch is not None
    files = sorted(Path(scratch).rglob("runs.parquet"))
    return [pq.read_table(file).column("request_id").to_pylist() for file in files]


def test_a_tail_is_given_up_once_nobody_reads_it(on_sqlite: Segmented) -> None:
    on_sqlite.append(step("a"))
    with snapshot(on_sqlite.archive, Selection()) as opened:
        on_sqlite.append(step("b"))
        rows(on_sqlite.archive, Selection())
        assert sorted(tails(on_sqlite)) == [["a"], ["a", "b"]]
        assert opened.rows("steps_at_hand") == [{"completed": 1}]
    rows(on_sqlite.archive, Selection())
    assert tails(on_sqlite) == [["a", "b"]]


def test_a_tail_that_is_swept_away_is_read_again(on_sqlite: Segmented) -> None:
    on_sqlite.append(step("a"))
    on_sqlite.export()
    on_sqlite.append(step("b"))
    expected = rows(on_sqlite.archive, Selection())
    scratch = on_sqlite.archive._connections._scratch
    assert scratch is not None
    for file in Path(scratch).rglob("*.parquet"):
        file.unlink()
    with snapshot(on_sqlite.archive, Selection()) as opened:
        assert opened.rows("steps_at_hand") == [{"completed": 2}]
    assert rows(on_sqlite.archive, Selection()) == expected


def test_many_may_ask_while_more_comes_in(on_sqlite: Segmented) -> None:
    on_sqlite.append(step("first"))

    def ask(_: int) -> tuple[int, int]:
        with snapshot(on_sqlite.archive, Selection()) as opened:
            [found] = opened.rows("steps_at_hand")
            return opened.as_of_position, found["completed"]

    with ThreadPoolExecutor(4) as pool:
        asked = []
        for number in range(10):
            asked += [pool.submit(ask, number) for _ in range(3)]
            on_sqlite.append(step(f"run-{number}"))
        told = [each.result() for each in asked]
    assert [completed for _, completed in told] == [position // 5 for position, _ in told]


def test_duckdb_is_opened_anew_at_times(
    on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MADE_BY_ONE", 2)
    for number in range(5):
        on_sqlite.append(step(f"run-{number}"))
        assert_nothing_is_old(on_sqlite)


def test_footers_of_segments_are_read_once(on_sqlite: Segmented) -> None:
    with snapshot(on_sqlite.archive, Selection()) as opened:
        [row] = opened._connection.sql(
            "SELECT current_setting('parquet_metadata_cache')"
        ).fetchall()
    assert row == (True,)


def test_questions_under_way_go_on_when_duckdb_is_opened_anew(
    on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MADE_BY_ONE", 1)
    on_sqlite.append(step("run-1"))
    with snapshot(on_sqlite.archive, Selection()) as first:
        with snapshot(on_sqlite.archive, Selection(node="nowhere")) as second:
            assert [each["completed"] for each in second.rows("steps_at_hand")] == [0]
        assert [each["completed"] for each in first.rows("steps_at_hand")] == [1]
