from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.builders import STICKER, Cli, completion, error, submit, three_steps, transcript


def imported(cli: Cli, file: str, request_id: str, workflow: str = STICKER) -> None:
    cli.ok("import", file, "--request-id", request_id, "--workflow", workflow)


@pytest.fixture
def three(cli: Cli, tmp_path: Path) -> None:
    """A completed run `one`, a failed run `two`, an interrupted run `three`; 2.0, 0.5 and 0 s."""
    imported(cli, three_steps(tmp_path / "one.jsonl"), "one")
    failing = error("draw", "no", 422, {"detail": [{"loc": ["body", "n"], "msg": "too many"}]})
    file = transcript(tmp_path / "two.jsonl", (0.0, submit("draw", "app", "s2")), (0.5, failing))
    imported(cli, file, "two")
    imported(cli, transcript(tmp_path / "three.jsonl", (0.0, completion("x"))), "three", "other/w")


@pytest.mark.usefixtures("three")
def test_runs_are_listed_newest_first(cli: Cli) -> None:
    lines = [line.rstrip() for line in cli.ok("runs").out.splitlines()]
    assert lines == [
        "status         request id  workflow               took",
        "◐ interrupted  three       other/w                0 µs",
        "✗ failed       two         fal-ai/sdxl-sticker  500 ms",
        "✓ completed    one         fal-ai/sdxl-sticker  2.00 s",
    ]


@pytest.mark.usefixtures("three")
def test_a_wide_terminal_gets_times_and_steps(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    heads, *_, last = cli.ok("runs").out.splitlines()
    assert heads.split() == [
        "status",
        "request",
        "id",
        "workflow",
        "took",
        "steps",
        "opened",
        "(UTC)",
    ]
    assert last.split()[:7] == ["✓", "completed", "one", "fal-ai/sdxl-sticker", "2.00", "s", "3/3"]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], ["three", "two", "one"]),
        (["--workflow", STICKER], ["two", "one"]),
        (["--app", "app"], ["two"]),
        (["--status", "failed"], ["two"]),
        (["--id", "step-cut"], ["one"]),
        (["--id", "two"], ["two"]),
        (["--anomaly", "completion_without_submit"], ["three"]),
        (["--since", "1h"], ["three", "two", "one"]),
        (["--until", "1h"], []),
        (["--limit", "2"], ["three", "two"]),
        (["--workflow", STICKER, "--status", "completed"], ["one"]),
    ],
)
def test_filters_narrow_the_list(cli: Cli, filters: list[str], found: list[str]) -> None:
    page = cli.ok("runs", *filters, "--json").json
    assert [run["request_id"] for run in page["runs"]] == found


@pytest.mark.usefixtures("three")
def test_pages_follow_each_other_without_gap_or_overlap(cli: Cli) -> None:
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = cli.ok("runs", "--limit", "1", *cursor, "--json").json
        seen += [run["request_id"] for run in page["runs"]]
        if page["next_before"] is None:
            break
        cursor = ["--before", str(page["next_before"])]
    assert seen == ["three", "two", "one"]
    told = cli("runs", "--limit", "1")
    assert (told.code, told.err) == (0, "1 run; more: --before 14\n")


def test_an_empty_list_says_so_on_stderr_and_is_no_failure(cli: Cli) -> None:
    told = cli("runs")
    assert (told.code, told.out, told.err) == (0, "", "recorder: no runs match\n")
    assert cli.ok("runs", "--json").json == {"runs": [], "next_before": None, "as_of_position": 0}


@pytest.mark.usefixtures("three")
def test_a_run_is_shown_with_a_bar_for_each_step(cli: Cli) -> None:
    lines = [line.rstrip() for line in cli.ok("show", "one").out.splitlines()]
    assert lines[0] == "status    ✓ completed in 2.00 s"
    assert lines[1:3] == ["run       one", f"workflow  {STICKER}"]
    assert lines[4] == "log       9 events from transcript, as of position 9"
    assert lines[6:11] == [
        "   node     took  inference  overhead  0 ──────────────────────────────── 2.00 s",
        "✓  draw   1.00 s     500 ms    500 ms  ░░░░░░░░░░██████████",
        "✓  cut    500 ms     500 ms      0 µs                      ███████████",
        "✓  stick  500 ms          –         –                                 ▓▓▓▓▓▓▓▓▓▓",
        "  █ inference   ░ waiting and overhead   ▓ took, inference not told",
    ]
    assert lines[12:] == ["output  https://x/3.png"]


@pytest.mark.usefixtures("three")
def test_a_failed_run_tells_why(cli: Cli) -> None:
    assert "✗ draw: no (422)\n  body.n: too many\n" in cli.ok("show", "two").out


@pytest.mark.usefixtures("three")
def test_a_run_is_found_by_the_request_id_of_a_step(cli: Cli) -> None:
    told = cli("show", "step-cut")
    assert (told.code, told.err) == (0, "step-cut is a step of run one\n")
    assert told.out == cli.ok("show", "one").out
    assert cli.ok("show", "step-cut", "--json").json["request_id"] == "one"


@pytest.mark.usefixtures("three")
def test_the_json_of_a_run_is_the_documented_one_and_the_same_each_time(cli: Cli) -> None:
    told = cli.ok("show", "one", "--json")
    assert told.out == cli.ok("show", "one", "--json").out
    run = told.json
    assert list(run) == [
        "request_id",
        "workflow",
        "status",
        "source",
        "mode",
        "opened_at",
        "closed_at",
        "duration_us",
        "events",
        "steps",
        "anomalies",
        "error",
        "as_of_position",
        "first_event_us",
        "close_reason",
        "queue",
        "definition",
        "input_digest",
        "parent",
    ]
    assert run["steps"][0] == {
        "node_id": "draw",
        "attempt": 1,
        "app_id": "fal-ai/fast-sdxl",
        "step_request_id": "step-draw",
        "status": "completed",
        "submitted_us": 0,
        "finished_us": 1_000_000,
        "duration_us": 1_000_000,
        "inference_us": 500_000,
        "overhead_us": 500_000,
        "error": None,
    }


@pytest.mark.usefixtures("three")
def test_events_are_shown_in_order_with_what_they_say(cli: Cli) -> None:
    lines = [line.rstrip() for line in cli.ok("show", "two", "--events").out.splitlines()]
    assert lines[-5:] == [
        "seq       at  event   node  what it says",
        f"  0    +0 µs  opened        {STICKER}",
        "  1    +0 µs  submit  draw  app",
        "  2  +500 ms  error   draw  no",
        "  3  +500 ms  closed        eof",
    ]
    document = cli.ok("show", "two", "--events", "--json").json
    assert document["run"]["request_id"] == "two"
    assert [event["type"] for event in document["events"]] == [
        "opened",
        "submit",
        "error",
        "closed",
    ]
    assert document["events"][1]["frame"].startswith('data: {"type": "submit"')


@pytest.mark.usefixtures("three")
def test_a_report_gives_percentiles_of_steps_and_runs(cli: Cli) -> None:
    lines = [line.rstrip() for line in cli.ok("report", "--node", "draw").out.splitlines()]
    assert lines[0] == "runs                   measure       n      p50      p90      p99      max"
    assert lines[1] == "fal-ai/sdxl-sticker    duration      1   2.00 s   2.00 s   2.00 s   2.00 s"
    assert lines[4] == "fal-ai/sdxl-sticker"
    assert "draw                   duration      1   1.00 s   1.00 s   1.00 s   1.00 s" in lines
    report = cli.ok("report", "--by", "app", "--since", "1h", "--json").json
    assert list(report)[:4] == ["by", "steps", "runs", "as_of_position"]
    assert report["by"] == ["app"]
    measured = {row["app"]: row["duration"]["p50_us"] for row in report["steps"]}
    assert measured["fal-ai/fast-sdxl"] == 1_000_000


def test_a_report_of_nothing_says_so(cli: Cli) -> None:
    told = cli("report")
    assert (told.code, told.out, told.err) == (0, "", "recorder: nothing to measure\n")


HOSTILE = "\x1b[2J\x9b31m[bold red]evil[/]\nrun\r\u202e"


@pytest.mark.parametrize("command", ["runs", "show", "show --events", "report", "tail --limit 4"])
def test_hostile_text_is_shown_and_never_obeyed(cli: Cli, tmp_path: Path, command: str) -> None:
    events: list[tuple[float, Any]] = [
        (0.0, submit(HOSTILE, HOSTILE, HOSTILE)),
        (0.1, completion(HOSTILE, images=[{"url": HOSTILE}])),
        (0.2, error(HOSTILE, HOSTILE, 500, HOSTILE)),
    ]
    file = transcript(tmp_path / "hostile.jsonl", *events)
    imported(cli, file, HOSTILE, HOSTILE)
    name, *flags = command.split()
    argument = [HOSTILE] if name == "show" else []
    out = cli.ok(name, *argument, *flags).out
    assert "evil" in out
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(out)


def test_json_holds_hostile_text_as_escapes_and_gives_it_back_whole(
    cli: Cli, tmp_path: Path
) -> None:
    file = transcript(tmp_path / "hostile.jsonl", (0.0, submit(HOSTILE)))
    imported(cli, file, HOSTILE)
    told = cli.ok("show", HOSTILE, "--json")
    assert told.out.isascii()
    assert "\x1b" not in told.out
    assert told.json["steps"][0]["node_id"] == HOSTILE
