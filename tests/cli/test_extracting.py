from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.builders import Cli, submit, three_steps, transcript
from tests.raw import RawDatabase


@pytest.fixture
def broken(cli: Cli, tmp_path: Path) -> str:
    """A log whose last event no file can hold; it is read after some pieces have been written."""
    events = [(number / 100, submit(f"node-{number}")) for number in range(2_500)]
    cli.ok("import", transcript(tmp_path / "long.jsonl", *events), "--request-id", "long")
    raw = RawDatabase(f"sqlite:///{tmp_path / 'runs.db'}")
    raw.drop_guards()
    raw.execute(
        "UPDATE events SET app_id = x'ff' WHERE position = (SELECT max(position) FROM events)"
    )
    raw.close()
    return str(tmp_path / "events.ndjson")


def test_extract_writes_a_file_and_says_what_it_holds(cli: Cli, tmp_path: Path) -> None:
    cli.ok("import", three_steps(tmp_path / "one.jsonl"), "--request-id", "one")
    path = tmp_path / "steps.csv"
    told = cli("extract", "steps", "-o", str(path))
    assert (told.code, told.out) == (0, "")
    assert told.err.startswith(f"steps → {path}, as of position 9, ")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4


def test_a_file_that_cannot_be_finished_is_not_there(cli: Cli, broken: str) -> None:
    told = cli("extract", "events", "-o", broken)
    assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1)
    assert told.err.startswith("recorder: ")
    left = {path.name for path in Path(broken).parent.iterdir() if "events" in path.name}
    assert left == set()


def test_a_file_that_was_there_before_stays_as_it_was(cli: Cli, broken: str) -> None:
    Path(broken).write_text("as it was", encoding="utf-8")
    assert cli("extract", "events", "-o", broken).code == 2
    assert Path(broken).read_text(encoding="utf-8") == "as it was"


def test_what_breaks_off_on_stdout_ends_with_an_error(cli: Cli, broken: str) -> None:
    told = cli("extract", "events", "-o", "-")
    assert told.code == 2
    assert 0 < len(told.out.splitlines()) < 2_502
    assert len(told.err.splitlines()) == 1
