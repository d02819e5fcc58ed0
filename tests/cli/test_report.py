"""The composed report and the questions below it; what they say is the business of tests/analytics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.builders import Cli, three_steps

pytestmark = pytest.mark.usefixtures("one_run")


@pytest.fixture
def one_run(cli: Cli, tmp_path: Path) -> None:
    file = three_steps(tmp_path / "run.jsonl")
    cli.ok("import", file, "--workflow", "workflows/o/draw", "--request-id", "run|1")


def test_a_terminal_shows_every_section_and_ends_with_what_it_comes_to(cli: Cli) -> None:
    lines = [line.rstrip() for line in cli.ok("report").out.splitlines()]
    titles = ["Throughput", "Errors", "Where the time goes", "Changes over time", "Slowest runs"]
    assert [line for line in lines if line in titles] == titles
    assert lines[-1] == "as of position 9"
    assert lines[-3].startswith("1 run from ")
    assert "100.0 % succeeded; half took 2.00 s or less" in " ".join(lines[-3:-1])
    assert "run|1" in "\n".join(lines)


def test_a_window_is_compared_with_the_one_before(cli: Cli) -> None:
    out = cli.ok("report", "--since", "1d", "--compare", "previous").out
    assert "What got better or worse" in out
    assert "The window before had no runs to compare with." in out


def test_json_keeps_its_keys_and_has_more(cli: Cli) -> None:
    report = cli.ok("report", "--format", "json").json
    assert list(report)[:4] == ["by", "steps", "runs", "as_of_position"]
    assert (report["totals"]["runs"], report["compare"]) == (1, None)
    assert cli.ok("report", "--json").json == report


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("html", "<!doctype html>"),
        ("md", "# Workflow report"),
        ("json", "{"),
        ("terminal", "runs  "),
    ],
)
def test_every_format_can_be_written_to_a_file(
    cli: Cli, tmp_path: Path, form: str, begins: str
) -> None:
    path = tmp_path / "report"
    told = cli.ok("report", "--format", form, "-o", str(path))
    assert told.out == ""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert text.endswith("\n")
    assert form != "json" or json.loads(text) == cli.ok("report", "--json").json


def test_links_lead_to_the_service_that_is_named(cli: Cli) -> None:
    local = cli.ok("report", "--format", "html").out
    assert 'href="http://127.0.0.1:8765/api/v1/runs/run%7C1"' in local
    named = cli.ok("report", "--format", "md", "--base-url", "https://recorder.example/").out
    assert r"[run\|1](<https://recorder.example/api/v1/runs/run%7C1>)" in named


def test_sides_and_changes_can_be_asked_for_alone(cli: Cli) -> None:
    sides = ("--a-until", "2020-01-01", "--b-since", "2020-01-01", "--b-node", "draw")
    assert "before 2020-01-01 00:00:00" in cli.ok("report", "compare", *sides).out
    (step,) = cli.ok("report", "compare", *sides, "--percentiles", "50", "--json").json["steps"]
    duration = step["measures"]["duration"]
    assert (step["node"], duration["b_count"], duration["verdict"]) == ("draw", 1, "no evidence")
    assert "None is known to have changed." in cli.ok("report", "changes").out
    changes = cli.ok("report", "changes", "--measure", "inference", "--json").json
    assert (changes["measure"], changes["changes"], changes["too_short"]) == ("inference", [], 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--format html --json", "--json: the format is html already"),
        (
            "--base-url javascript:x",
            "--base-url: 'javascript:x' does not begin with http:// or https://",
        ),
        ("--since 2d --until 3d", "since: is after until"),
        ("latency --since 2d --until 3d", "since: is after until"),
        ("changes --since 2d --until 3d", "since: is after until"),
        ("compare --a-since 2d --a-until 3d", "a_since: is not before a_until"),
        ("-o /nowhere/at/all", "--output: /nowhere/at/all: no such file or directory"),
        ("compare --a-since 5 --b-since 4d", "--a-since: '5' is no time; give "),
        (
            "compare --compare previous --a-since 4d",
            "compare: tells the windows already; leave out a_since",
        ),
        ("compare --percentiles 101", "percentiles: lie between 0 and 100"),
        ("changes --percentiles x", "percentiles: is not numbers with commas between"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(cli: Cli, arguments: str, message: str) -> None:
    told = cli("report", *arguments.split())
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"recorder: {message}")
    assert told.err.count("\n") == 1
