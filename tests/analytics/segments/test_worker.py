"""The worker: seldom, in large pieces, and nobody notices when it fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from analytics.segments import worker
from analytics.segments.worker import Worker
from tests.analytics.segments.conftest import Segmented
from tests.builders import one_step_run
from tests.logs import WAIT_S


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, and never waits for more."""
    monkeypatch.setattr(worker, "LOOK_S", 0.001)
    monkeypatch.setattr(worker, "RETRY_S", 0.001)
    monkeypatch.setattr(worker, "EXPORT_S", 0.0)


class Reached:
    """Waits for a condition that another thread brings about."""

    def __init__(self, segmented: Segmented) -> None:
        self._segmented = segmented

    def position(self, position: int) -> None:
        tick = threading.Event()
        for _ in range(WAIT_S * 100):
            if self._segmented.exporter().listed().exported.position == position:
                return
            tick.wait(0.01)
        pytest.fail(f"position {position} was not reached")


def test_what_is_closed_is_exported_by_itself(segmented: Segmented, hasty: None) -> None:
    works = Worker(segmented.archive)
    works.start()
    try:
        segmented.append(one_step_run("a"))
        Reached(segmented).position(5)
        segmented.append(one_step_run("b"))
        Reached(segmented).position(10)
    finally:
        works.stop()
    assert works.failure is None
    assert segmented.told() == segmented.told_by_sql()


def test_a_failure_is_told_and_tried_again(
    on_sqlite: Segmented, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fails(*_: object) -> None:
        failed.set()
        raise OSError("no space left")

    works = Worker(on_sqlite.archive)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fails)
        works.start()
        on_sqlite.append(one_step_run("a"))
        assert failed.wait(WAIT_S)
        assert on_sqlite.told() == on_sqlite.told_by_sql()
    try:
        Reached(on_sqlite).position(5)
    finally:
        works.stop()


def test_a_damage_a_reader_met_is_mended(on_sqlite: Segmented, hasty: None) -> None:
    on_sqlite.append(one_step_run("a"))
    on_sqlite.export()
    before = on_sqlite.listed_files()
    works = Worker(on_sqlite.archive)
    works.start()
    try:
        for name in before:
            (on_sqlite.root / name).unlink()
        assert on_sqlite.told() == on_sqlite.told_by_sql()
        tick = threading.Event()
        for _ in range(WAIT_S * 100):
            if before.isdisjoint(on_sqlite.listed_files()) and on_sqlite.listed_files():
                break
            tick.wait(0.01)
        else:
            pytest.fail("the day was not written anew")
    finally:
        works.stop()
    assert on_sqlite.in_files("runs") == ["a"]


def test_without_segments_there_is_no_thread(on_sqlite: Segmented) -> None:
    on_sqlite.archive.folder = None
    before = threading.active_count()
    works = Worker(on_sqlite.archive)
    works.start()
    assert threading.active_count() == before
    works.stop()
