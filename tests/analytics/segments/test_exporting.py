"""Segments: what goes into them, what stays out, and that nobody can tell the difference."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import pytest

from analytics import kept
from analytics.asking import snapshot
from analytics.segments import files
from analytics.segments.catalog import EVENTS
from analytics.selection import Selection
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.analytics.segments.conftest import DAY_US, Segmented, moved
from tests.builders import completion, error, history, opened, output, submit
from tests.clocks import NOVEMBER_2023_US
from tests.raw import RawDatabase


def step(request_id: str, days: float = 0) -> list[NewEvent]:
    return moved(history(request_id, submit("a"), completion("a"), output()), days)


def test_closed_runs_are_in_files_of_their_day_and_open_ones_are_not(segmented: Segmented) -> None:
    going_on = history("open", submit("a"), reason=None)
    segmented.append(step("a"), step("b", 1), step("c", 1), going_on)
    segmented.export()
    days = {(file.kind, file.day, file.rows) for file in segmented.exporter().listed().segments}
    assert days == {
        ("runs", "2023-11-14", 1),
        ("runs", "2023-11-15", 2),
        ("steps", "2023-11-14", 1),
        ("steps", "2023-11-15", 2),
    }
    assert segmented.files() == segmented.listed_files()
    assert segmented.told() == segmented.told_by_sql()


def test_an_answer_is_as_of_the_projection_whatever_is_exported(segmented: Segmented) -> None:
    segmented.append(step("a"))
    segmented.export()
    segmented.append(step("b"), history("c", submit("x"), reason=None))
    told = segmented.told()
    assert told == segmented.told_by_sql()
    assert [run["request_id"] for run in told["runs"]] == ["a", "b", "c"]
    assert told["as_of_position"] == [{"is": 12}]


def test_a_run_that_was_open_is_exported_once_it_is_closed(segmented: Segmented) -> None:
    run = step("a")
    segmented.append(run[:2], step("b"))
    segmented.export()
    assert segmented.in_files("runs") == ["b"]
    segmented.append(run[2:])
    assert segmented.told() == segmented.told_by_sql()
    segmented.export()
    assert segmented.in_files("runs") == ["a", "b"]
    assert segmented.told() == segmented.told_by_sql()


def test_runs_of_no_known_day_have_a_place_too(segmented: Segmented) -> None:
    beginning_unknown = history("a", submit("a"), output())[1:]
    far = moved(step("far"), 10_000_000)
    renumbered = [
        msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(beginning_unknown)
    ]
    segmented.append(renumbered, far, step("c"))
    segmented.export()
    assert {file.day for file in segmented.exporter().listed().segments} == {
        "2023-11-14",
        "unknown",
    }
    window = Selection(since=NOVEMBER_2023_US - DAY_US)
    assert segmented.told() == segmented.told_by_sql()
    assert segmented.told(window) == segmented.told_by_sql(window)


def test_every_selection_narrows_files_and_sql_alike(segmented: Segmented) -> None:
    other = opened("other", workflow="workflows/o'ther/x", definition="d" * 64)
    frames = [submit("b'", app_id="fal-ai/b"), completion("b'"), output()]
    segmented.append(
        step("a"),
        step("later", 2),
        history("failed", submit("a"), error("a")),
        history("other", *frames, document=other),
    )
    segmented.export()
    segmented.append(step("tail", 1), history("other tail", *frames))
    for selection in (
        Selection(workflow="workflows/o'ther/x"),
        Selection(node="b'"),
        Selection(app="fal-ai/b", status="completed"),
        Selection(status="failed"),
        Selection(status="\0"),
        Selection(definition="d" * 64),
        Selection(since=NOVEMBER_2023_US + 1),
        Selection(until=NOVEMBER_2023_US + DAY_US),
        Selection(since=NOVEMBER_2023_US + DAY_US, until=NOVEMBER_2023_US + 2 * DAY_US),
        Selection(since=-(2**63), until=2**63 - 1),
    ):
        assert segmented.told(selection) == segmented.told_by_sql(selection), selection


def test_a_round_takes_as_much_as_it_may_and_catching_up_takes_all(segmented: Segmented) -> None:
    segmented.append(*(step(f"run-{number}") for number in range(5)))
    exporter = segmented.exporter(round_rows=1)
    reached: list[int] = []
    assert exporter.catch_up(progress=reached.append) == "nothing"
    assert reached[0] == 25  # a chunk of runs is read at once
    assert segmented.told() == segmented.told_by_sql()


def test_events_are_exported_where_that_is_asked_for(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    assert {name.split("/")[0] for name in segmented.files()} == {"runs", "steps"}
    segmented.export(events=True)
    assert segmented.in_files("events") == ["a"] * 5 + ["b"] * 5
    segmented.append(step("c"), history("d", reason=None))
    assert segmented.told() == segmented.told_by_sql()


def test_a_rebuild_that_changes_nothing_leaves_the_segments(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1), history("open", submit("a"), reason=None))
    segmented.export(events=True)
    before, files = segmented.told(), segmented.listed_files()
    segmented.rec.rebuild()
    assert segmented.told() == before
    assert segmented.listed_files() == files
    assert segmented.exporter().catch_up() == "nothing"
    assert segmented.listed_files() == files


def test_a_rebuild_that_changes_something_makes_the_segments_anew(
    segmented: Segmented, raw: RawDatabase
) -> None:
    segmented.append(step("a"), step("b", 1))
    before = segmented.told_by_sql()
    raw.execute("UPDATE runs SET workflow = 'forged' WHERE request_id = 'a'")
    segmented.export(events=True)
    assert segmented.rec.rebuild().differences == 1
    assert segmented.exporter().listed().segments == []
    assert segmented.told() == before
    segmented.export(events=True)
    assert segmented.in_files("runs") == ["a", "b"]
    assert segmented.told() == before
    assert segmented.files() == segmented.listed_files()


def test_small_files_of_a_day_become_one(segmented: Segmented) -> None:
    for number in range(9):
        segmented.append(step(f"run-{number}"))
        segmented.exporter(EVENTS).round()
        segmented.exporter().round()
    segmented.export(events=True)
    assert len(segmented.listed_files()) == 3
    segmented.append(step("run-9"))
    segmented.export(events=True)
    assert len(segmented.listed_files()) == 6
    segmented.now_us += DAY_US
    segmented.export(events=True)
    assert len(segmented.listed_files()) == 3  # the day is over
    assert segmented.files() == segmented.listed_files()
    assert segmented.in_files("steps") == [f"run-{number}" for number in range(10)]
    assert segmented.told() == segmented.told_by_sql()


def test_replaced_files_stay_for_readers_with_an_old_list(segmented: Segmented) -> None:
    for number in range(2):
        segmented.append(step(f"run-{number}", -1))
        segmented.exporter().round()
    before = segmented.listed_files()
    patient = segmented.exporter(grace_s=600.0)
    patient.catch_up()
    assert len(segmented.listed_files()) == 2
    assert before < segmented.files()
    segmented.now_us += 600_000_001
    patient.catch_up()
    assert segmented.files() == segmented.listed_files()


def test_starting_over_makes_the_segments_anew_from_the_log(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    before = segmented.listed_files()
    segmented.exporter().start_over()
    assert segmented.told() == segmented.told_by_sql()
    segmented.export()
    assert segmented.listed_files().isdisjoint(before)
    assert segmented.files() == segmented.listed_files()
    assert segmented.told() == segmented.told_by_sql()


def test_a_folder_deleted_by_hand_is_noticed_and_made_again(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1), history("open", reason=None))
    segmented.export(events=True)
    shutil.rmtree(segmented.root)
    assert segmented.told() == segmented.told_by_sql()
    segmented.export(events=True)
    assert segmented.in_files("runs") == ["a", "b"]
    assert segmented.in_files("events") == ["a"] * 5 + ["b"] * 5
    assert segmented.told() == segmented.told_by_sql()


def test_a_missing_or_cut_file_costs_its_day_only(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1), step("c", 2), history("x", submit("a")))
    segmented.export(events=True)
    for name in segmented.listed_files():
        path = segmented.root / name
        if "day=2023-11-14" in name:
            path.unlink()
        elif "day=2023-11-15" in name:
            path.write_bytes(path.read_bytes()[:-1])
    assert segmented.told() == segmented.told_by_sql()
    kept = {name for name in segmented.listed_files() if "2023-11-16" in name}
    segmented.export(events=True)
    assert kept < segmented.listed_files()
    assert segmented.told() == segmented.told_by_sql()
    assert segmented.files() == segmented.listed_files()


def test_a_file_full_of_nonsense_costs_time_only(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    for name in segmented.listed_files():
        path = segmented.root / name
        path.write_bytes(b"PAR1" * (path.stat().st_size // 4) + b"P" * (path.stat().st_size % 4))
    assert segmented.told() == segmented.told_by_sql()


def test_a_tail_too_long_to_be_kept_is_read_for_every_answer(
    segmented: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    segmented.append(step("c"), history("open", submit("a"), reason=None))
    monkeypatch.setattr(kept, "KEPT_EVENTS", 1)
    assert segmented.told() == segmented.told_by_sql()
    segmented.append(step("d"))
    assert segmented.told() == segmented.told_by_sql()


def test_a_file_that_goes_while_a_snapshot_is_open_costs_time_only(segmented: Segmented) -> None:
    segmented.append(step("a"), step("b", 1))
    segmented.export()
    by = {"by_workflow": True, "by_node": True, "by_app": True}
    with snapshot(segmented.archive, Selection()) as opened:
        before = opened.rows("latency", by)
        shutil.rmtree(segmented.root)
        assert opened.rows("latency", by) == before
        assert opened.as_of_position == 10


def test_a_folder_behind_a_link_is_read_like_any_other(
    sqlite_rec: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    segmented = Segmented(sqlite_rec, tmp_path / "link" / "segments")
    segmented.append(step("a"))
    segmented.export()
    with segmented.archive, segmented.archive.opened(Selection()) as relations:
        assert relations.from_files
        assert len(relations.connection.sql("SELECT * FROM steps").fetchall()) == 1


def test_a_window_reads_the_row_groups_it_touches_and_no_others(
    on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 1)
    on_sqlite.append(*(step(f"run-{hour}", hour / 24) for hour in range(20)))
    on_sqlite.export()
    late = Selection(since=NOVEMBER_2023_US + DAY_US // 24 * 15)
    with on_sqlite.archive.opened(late) as relations:
        query = "EXPLAIN ANALYZE SELECT sum(duration_us) FROM steps"
        (explained,) = relations.connection.sql(query).fetchall()
    assert "Total Files Read: 1" in explained[1]
    assert re.search(r"Row Groups Scanned: 5 / \d+", explained[1]) is not None, explained[1]


def test_a_second_round_finds_nothing_to_do(segmented: Segmented) -> None:
    segmented.append(step("a"))
    segmented.export()
    listed = segmented.exporter().listed()
    assert segmented.exporter().round() == "nothing"
    assert segmented.exporter().listed() == listed
    assert listed.exported.position == 5
