"""`recorder export` and what `recorder import` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import recorder
from tests.builders import history, one_step_run, submit
from tests.cli.builders import STICKER, Cli, start, three_steps


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """The URL of another database."""
    return f"sqlite:///{tmp_path / 'elsewhere.db'}"


@pytest.fixture
def three(cli: Cli, tmp_path: Path) -> None:
    file = three_steps(tmp_path / "three.jsonl")
    cli.ok("import", file, "--request-id", "three", "--workflow", STICKER)


@pytest.mark.usefixtures("three")
def test_runs_are_exported_and_imported_once(cli: Cli, tmp_path: Path, elsewhere: str) -> None:
    file = tmp_path / "a.run.zip"
    told = cli("export", "three", "-o", str(file))
    assert (told.code, told.out) == (0, "")
    assert told.err.startswith(f"1 run → {file}, ")
    assert cli.ok("import", str(file), "--db", elsewhere).out == f"{file} → three\n"
    again = cli.ok("import", str(file), "--db", elsewhere, "--json").json
    assert again == {
        "imported": [{"path": str(file), "request_id": "three", "already_there": True}]
    }
    here, there = (cli.ok("show", "three", *db, "--json").out for db in ((), ("--db", elsewhere)))
    assert there == here
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


@pytest.mark.usefixtures("three")
def test_the_same_runs_are_the_same_file_on_stdout_too(cli: Cli, tmp_path: Path) -> None:
    files = [tmp_path / "a.run.zip", tmp_path / "b.run.zip"]
    for file in files:
        cli("export", "three", "step-cut", "three", "-o", str(file))
    with start("export", "three", "-o", "-") as process:
        out, err = process.communicate(timeout=30)
    assert files[0].read_bytes() == files[1].read_bytes() == out
    assert err == b""


def test_another_run_of_the_same_id_is_a_conflict_that_exits_with_1(
    cli: Cli, tmp_path: Path, elsewhere: str, database: str
) -> None:
    for url, node_id in ((database, "x"), (elsewhere, "y")):
        with recorder.open(url) as rec:
            rec.log.append(one_step_run("a", node_id))
    file = tmp_path / "a.run.zip"
    cli("export", "a", "-o", str(file))
    told = cli("import", str(file), "--db", elsewhere)
    said = (
        f"recorder: {file}: run a is in the log already, and differs at seq 1: another event stands "
        "there; nothing of the file was imported\n"
    )
    assert (told.code, told.out, told.err) == (1, "", said)


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_is_told_in_one_line_and_nothing_is_imported(
    cli: Cli, tmp_path: Path, elsewhere: str, database: str, damage: str
) -> None:
    with recorder.open(database) as rec:
        rec.log.append(history("a", submit("x")))
    file = tmp_path / "a.run.zip"
    cli("export", "a", "-o", str(file))
    content = {"cut": file.read_bytes()[:-30], "empty": b"", "text": b"PK and no more"}[damage]
    file.write_bytes(content)
    told = cli("import", str(file), "--db", elsewhere)
    assert (told.code, told.out, told.err) == (
        2,
        "",
        f"recorder: {file}: is no zip, or not whole\n",
    )
    assert cli.ok("runs", "--db", elsewhere, "--json").json["runs"] == []


@pytest.mark.usefixtures("three")
def test_a_file_that_cannot_be_written_is_told_in_one_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "none" / "a.run.zip"
    told = cli("export", "three", "-o", str(file))
    said = f"recorder: --output: {file}: no such file or directory\n"
    assert (told.code, told.out, told.err) == (2, "", said)
