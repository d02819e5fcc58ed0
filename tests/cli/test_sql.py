from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

import recorder
from tests.builders import one_step_run
from tests.cli.builders import Cli


@pytest.fixture(autouse=True)
def recorded(database: str) -> None:
    with recorder.open(database) as rec:
        rec.log.append(one_step_run("run-1"))
        rec.log.append(one_step_run("run-2"))


def test_an_answer_is_a_table(cli: Cli) -> None:
    done = cli.ok("sql", "SELECT request_id, events, NULL AS nothing FROM runs ORDER BY 1")
    assert [line.split() for line in done.out.splitlines()] == [
        ["request_id", "events", "nothing"],
        ["run-1", "5", "–"],
        ["run-2", "5", "–"],
        ["2", "rows,", "as", "of", "position", "10"],
    ]


def test_a_statement_may_come_from_stdin_and_go_into_json(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT $a + 1 AS b"))
    assert cli.ok("sql", "--format", "json", "-p", "a=41").json["rows"] == [[42]]


def test_a_file_is_there_once_it_is_whole_and_rows_left_out_are_told(
    cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "runs.parquet"
    done = cli("sql", "FROM runs", "--format", "parquet", "-o", str(path), "--rows", "1")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("1 row → ")
    assert done.err.endswith("recorder: there are more than 1 row; --rows N tells more\n")
    assert pyarrow.parquet.read_table(path)["request_id"].to_pylist() == ["run-1"]


def test_a_mistake_is_told_in_duckdbs_words_and_leaves_no_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    done = cli("sql", "SELEC 1", "--format", "csv", "-o", str(path))
    assert (done.code, done.out) == (2, "")
    assert (
        done.err
        == 'Parser Error: syntax error at or near "SELEC"\n\nLINE 1: SELEC 1\n        ^^^^^\n'
    )
    assert not path.exists()


def test_a_limit_is_told_in_one_line(cli: Cli) -> None:
    done = cli(
        "sql", "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 9", "--time", "0.2"
    )
    assert (done.code, done.err) == (
        2,
        "recorder: the query went beyond its limit: time_s is 0.2\n",
    )
