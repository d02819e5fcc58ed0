from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.builders import Cli, three_steps


@pytest.fixture
def filled(cli: Cli, tmp_path: Path) -> Path:
    """A log with a run; the folder its segments are in by default."""
    cli.ok("import", three_steps(tmp_path / "one.jsonl"), "--request-id", "one")
    return tmp_path / "runs.db.segments"


def test_columns_puts_what_is_recorded_into_files(cli: Cli, filled: Path) -> None:
    before = cli.ok("report", "--json").json
    told = cli.ok("columns", "--json").json
    sizes = [of.pop("bytes") for of in told["segments"].values()]
    assert told == {
        "exported_position": 9,
        "as_of_position": 9,
        "segments": {"runs": {"files": 1, "rows": 1}, "steps": {"files": 1, "rows": 3}},
    }
    files = list(filled.rglob("*.parquet"))
    assert sum(sizes) == sum(path.stat().st_size for path in files)
    assert cli.ok("report", "--json").json == before
    said = f"{filled} holds 1 run, 3 steps in 2 files, up to position 9\n"
    assert cli.ok("columns").out == said


def test_events_are_kept_up_once_they_were_asked_for(cli: Cli, filled: Path) -> None:
    assert cli.ok("columns", "--events", "--json").json["segments"]["events"]["rows"] == 9
    assert list(cli.ok("columns", "--json").json["segments"]) == ["runs", "steps", "events"]


def test_a_rebuild_leaves_other_files_that_say_the_same(cli: Cli, filled: Path) -> None:
    first = cli.ok("columns", "--json").json
    before = {path.name for path in filled.rglob("*.parquet")}
    assert cli.ok("columns", "--rebuild", "--json").json == first
    assert before < {path.name for path in filled.rglob("*.parquet")}


def test_deleted_segments_are_made_again(cli: Cli, filled: Path) -> None:
    first = cli.ok("columns", "--json").json
    shutil.rmtree(filled)
    assert cli.ok("columns", "--json").json == first
    assert len(list(filled.rglob("*.parquet"))) == 2


def test_without_a_place_for_them_there_are_none(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDER_SEGMENTS", "off")
    told = cli("columns")
    assert (told.code, told.err) == (
        2,
        "recorder: there are no segments: RECORDER_SEGMENTS is off\n",
    )
    assert cli.ok("report").code == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere://x", "recorder: RECORDER_SEGMENTS: "),
        ("/dev/null/segments", "recorder: /dev/null/segments"),
    ],
)
def test_a_place_that_cannot_be_is_told_in_one_line(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.setenv("RECORDER_SEGMENTS", place)
    told = cli("columns")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith(said)
