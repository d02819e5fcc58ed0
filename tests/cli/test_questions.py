"""`recorder report QUESTION`; the numbers are the business of tests/analytics."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.catalogue import QUESTIONS
from tests.cli.builders import Cli, three_steps


@pytest.fixture
def recorded(cli: Cli, tmp_path: Path) -> None:
    cli.ok(
        "import",
        three_steps(tmp_path / "three.jsonl"),
        "--workflow",
        "workflows/o/w",
        "--request-id",
        "one",
    )


@pytest.mark.usefixtures("recorded")
def test_a_question_is_answered_as_a_table(cli: Cli) -> None:
    told = cli.ok(
        "report", "latency", "--by", "node", "--measures", "duration", "--percentiles", "50,95"
    )
    assert [line.split() for line in told.out.splitlines()][:3] == [
        ["node", "measure", "n", "mean", "max", "percentile", "value"],
        ["cut", "duration", "1", "500", "ms", "500", "ms", "50", "500", "ms"],
        ["cut", "duration", "1", "500", "ms", "500", "ms", "95", "500", "ms"],
    ]
    assert told.out.splitlines()[-1] == "as of position 9"


@pytest.mark.usefixtures("recorded")
def test_rows_too_wide_for_the_terminal_are_told_line_by_line(cli: Cli) -> None:
    lines = cli.ok("report", "slowest", "--of", "steps", "--limit", "1").out.splitlines()
    assert lines[:3] == ["request id  one", "workflow    o/w", "node        draw"]


@pytest.mark.usefixtures("recorded")
def test_json_is_what_the_service_answers_and_csv_the_rows(cli: Cli) -> None:
    answer = cli.ok("report", "critical-path", "--json").json
    assert [row["node"] for row in answer["rows"]] == ["draw", "cut", "stick"]
    assert answer["as_of_position"] == 9
    rows = list(csv.DictReader(cli.ok("report", "run-path", "one", "--csv").out.splitlines()))
    assert [(row["node"], row["critical"]) for row in rows] == [
        ("draw", "true"),
        ("cut", "true"),
        ("stick", "true"),
    ]


@pytest.mark.usefixtures("recorded")
def test_costs_need_a_price_table(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        'currency = "USD"\n[apps."fal-ai/fast-sdxl"]\nper = "inference_second"\nprice = "0.5"\n'
    )
    given = cli.ok("report", "cost", "--prices", str(file), "--json").json
    monkeypatch.setenv("RECORDER_PRICES", str(file))
    assert cli.ok("report", "cost", "--json").json == given
    assert [(row["app"], row["cost"], row["unpriced_steps"]) for row in given["rows"]] == [
        ("fal-ai/fast-sdxl", "0.25", 0),
        ("fal-ai/face-to-sticker", None, 1),
        ("fal-ai/imageutils/rembg", None, 1),
    ]


@pytest.mark.parametrize("question", [q.name for q in QUESTIONS if q.name != "run-path"])
def test_nothing_recorded_is_said_so(cli: Cli, question: str) -> None:
    told = cli("report", question)
    assert (told.code, told.out, told.err) == (0, "", "recorder: nothing to tell\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("report nope", "No such command 'nope' (see recorder report --help)"),
        (
            "report latency --limit 1",
            "No such option: --limit (see recorder report latency --help)",
        ),
        ("report latency --by node,node", "by: names something twice"),
        ("report slowest --limit x", "limit: input should be a valid integer, unable to parse"),
        ("report errors --since nope", "since: is no time; give 2026-11-23T06:00:00Z"),
        ("report cost --prices nowhere.toml", "prices: nowhere.toml: no such file or directory"),
        ("report run-path none", "no run none"),
        ("report run-path", "Missing argument 'REQUEST_ID' (see recorder report run-path --help)"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(cli: Cli, command: str, said: str) -> None:
    told = cli(*command.split())
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"recorder: {said}")
    assert told.err.count("\n") == 1


def test_every_question_says_what_it_takes(cli: Cli) -> None:
    listed = cli.ok("report", "--help").out
    for question in QUESTIONS:
        assert question.name in listed
        assert question.title in listed
        told = cli.ok("report", question.name, "--help").out
        assert all(
            f"--{name.replace('_', '-')}" in told or name.upper() in told
            for name in question.model_fields
        )


def test_other_commands_load_no_duckdb() -> None:
    code = "import sys; from cli.main import main; main(['runs', '--help']); print('duckdb' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "False"
