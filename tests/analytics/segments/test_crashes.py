"""A round broken off anywhere: no half file is seen, no row is lost or counted twice, nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from analytics.segments.catalog import EVENTS, RUNS_AND_STEPS, Columns
from analytics.segments.exporter import Exporter
from tests.analytics.segments.conftest import Segmented, moved
from tests.builders import completion, history, output, submit


class Crash(BaseException):
    """The process is gone: nothing of ours runs after this."""


class Points:
    """Counts what a round does to files and to the database, and crashes before one of them."""

    def __init__(self, at: int | None) -> None:
        self.passed = 0
        self._at = at

    def __call__(self, *_: Any, **__: Any) -> None:
        self.passed += 1
        if self._at is not None and self.passed >= self._at:
            raise Crash


@contextmanager
def watched(
    segmented: Segmented, points: Points, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every statement, every rename and every deletion is a point."""
    engine = segmented.rec.database.engine
    event.listen(engine, "before_cursor_execute", points)
    event.listen(engine, "commit", points)
    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "mkdir"):
            patched.setattr(Path, name, _before(getattr(Path, name), points))
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", points)
            event.remove(engine, "commit", points)


def _before(method: Callable[..., Any], points: Points) -> Callable[..., Any]:
    def passed(*args: Any, **kwargs: Any) -> Any:
        points()
        return method(*args, **kwargs)

    return passed


def crash_everywhere(
    segmented: Segmented,
    columns: Columns,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[int], None],
) -> int:
    """Crashes rounds at their first, second, … point until one goes through; returns how many did."""
    crashes = 0
    while True:
        prepare(crashes)
        points = Points(crashes + 1)
        before = segmented.told_by_sql()
        try:
            with watched(segmented, points, monkeypatch):
                segmented.exporter(columns).round()
        except Crash:
            crashes += 1
        else:
            return crashes
        assert segmented.told() == before
        names = {name for name in segmented.files() if not Path(name).name.startswith(".")}
        assert segmented.listed_files() <= names


@pytest.mark.parametrize("columns", [RUNS_AND_STEPS, EVENTS])
def test_an_export_may_crash_anywhere(
    on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch, columns: Columns
) -> None:
    def two_more_days(number: int) -> None:
        run = history(f"run-{number}", submit("a"), completion("a"), output())
        on_sqlite.append(moved(run, number % 3))

    assert crash_everywhere(on_sqlite, columns, monkeypatch, two_more_days) > 15
    on_sqlite.export(events=True)
    everything = sorted(row["request_id"] for row in on_sqlite.told_by_sql()["runs"])
    assert on_sqlite.in_files("runs") == everything
    assert on_sqlite.files() == on_sqlite.listed_files()
    assert on_sqlite.told() == on_sqlite.told_by_sql()


def test_merging_may_crash_anywhere(on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        run = history(f"run-{number}", submit("a"), completion("a"), output())
        on_sqlite.append(moved(run, -1))
        assert on_sqlite.exporter().round() == "exported"
    assert crash_everywhere(on_sqlite, RUNS_AND_STEPS, monkeypatch, lambda _: None) > 10
    on_sqlite.export()
    assert len(on_sqlite.listed_files()) == 2
    assert on_sqlite.files() == on_sqlite.listed_files()
    assert on_sqlite.told() == on_sqlite.told_by_sql()


def test_mending_a_day_may_crash_anywhere(
    on_sqlite: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sqlite.append(history("a", submit("a"), output()), moved(history("b", output()), 1))
    on_sqlite.export()

    def lose_a_file(_: int) -> None:
        for name in on_sqlite.listed_files():
            if name.startswith("runs/day=2023-11-14"):
                (on_sqlite.root / name).unlink(missing_ok=True)

    lose_a_file(0)
    crashes = 0
    while True:
        points = Points(crashes + 1)
        try:
            with watched(on_sqlite, points, monkeypatch):
                on_sqlite.exporter().round()
        except Crash:
            crashes += 1
            assert on_sqlite.told() == on_sqlite.told_by_sql()
        else:
            break
    assert crashes > 10
    on_sqlite.export()
    assert on_sqlite.in_files("runs") == ["a", "b"]
    assert on_sqlite.files() == on_sqlite.listed_files()


def test_a_failing_disk_costs_the_round_and_leaves_nothing(
    segmented: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented.append(history("a", submit("a"), output()))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", _fails)
        with pytest.raises(OSError, match="no space left"):
            segmented.exporter(polite_s=60.0).round()
    assert segmented.told() == segmented.told_by_sql()
    assert segmented.exporter(polite_s=60.0).catch_up() == "nothing"
    assert segmented.in_files("runs") == ["a"]
    assert segmented.files() == segmented.listed_files()


def _fails(*_: Any) -> None:
    raise OSError("no space left")


# Two at once


def interrupted_by(first: Exporter, other: Callable[[], object]) -> str:
    """A round in the midst of which, its files written, another exporter comes along."""
    commit = first._commit

    def later(change: Any) -> None:
        other()
        commit(change)

    first._commit = later  # type: ignore[method-assign]
    return first.round()


def test_of_two_exporters_one_waits(segmented: Segmented) -> None:
    segmented.append(history("a", output()))
    seen: list[str] = []
    first = segmented.exporter(polite_s=60.0)
    second = segmented.exporter(polite_s=60.0)
    assert interrupted_by(first, lambda: seen.append(second.round())) == "exported"
    assert seen == ["busy"]
    assert second.catch_up() == "nothing"
    assert segmented.files() == segmented.listed_files()


def test_who_is_taken_for_dead_loses_its_round_and_nothing_else(segmented: Segmented) -> None:
    segmented.append(history("a", submit("a"), output()))
    slow = segmented.exporter()
    assert interrupted_by(slow, lambda: segmented.exporter().catch_up()) == "overtaken"
    segmented.export()
    assert segmented.in_files("runs") == ["a"]
    assert segmented.files() == segmented.listed_files()
    assert segmented.told() == segmented.told_by_sql()
