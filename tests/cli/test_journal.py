from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.cli.builders import Cli, start, three_steps


@pytest.fixture
def filled(cli: Cli, tmp_path: Path) -> None:
    cli.ok("import", three_steps(tmp_path / "one.jsonl"), "--request-id", "one")


@pytest.mark.usefixtures("filled")
def test_an_untouched_log_is_intact(cli: Cli) -> None:
    verdict = cli.ok("verify", "--json").json
    assert list(verdict) == [
        "intact",
        "epoch",
        "position",
        "chain",
        "erased",
        "broken_at",
        "reason",
    ]
    assert (verdict["intact"], verdict["position"], verdict["broken_at"]) == (True, 9, None)
    assert cli.ok("verify").out == f"intact: 9 events, chain {verdict['chain']}\n"


@pytest.mark.usefixtures("filled")
def test_a_changed_event_is_found_and_fails_the_check(cli: Cli, tmp_path: Path) -> None:
    tamper(tmp_path / "runs.db", "UPDATE events SET node_id = 'forged' WHERE position = 4")
    told = cli("verify")
    said = "BROKEN at position 4: the row is not the one recorded\n"
    assert (told.code, told.out, told.err) == (1, said, "")
    told = cli("verify", "--json")
    assert (told.code, told.json["intact"], told.json["broken_at"]) == (1, False, 4)


@pytest.mark.usefixtures("filled")
def test_a_rebuild_mends_tables_that_were_tampered_with(cli: Cli, tmp_path: Path) -> None:
    cli.ok("runs")
    tamper(tmp_path / "runs.db", "UPDATE runs SET status = 'failed'")
    assert cli.ok("rebuild").out == "rebuilt from 9 events: 1 run differed from the old tables\n"
    assert cli.ok("rebuild", "--json").json == {"position": 9, "differences": 0}
    assert cli.ok("show", "one", "--json").json["status"] == "completed"


@pytest.mark.usefixtures("filled")
def test_tail_gives_every_event_once_in_order(cli: Cli) -> None:
    told = cli.ok("tail", "--after", "2", "--limit", "5", "--json")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [event["position"] for event in events] == [3, 4, 5, 6, 7]
    assert list(events[0]) == [
        "position",
        "request_id",
        "seq",
        "type",
        "node_id",
        "app_id",
        "step_request_id",
        "received_at",
        "elapsed_us",
        "frame",
    ]
    lines = cli.ok("tail", "--limit", "2").out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert lines[1].split()[2:] == ["one", "submit", "draw", "fal-ai/fast-sdxl"]


@pytest.mark.usefixtures("filled")
def test_tail_goes_on_until_interrupted_and_says_where_to_resume() -> None:
    with start("tail", "--after", "7") as process:
        assert process.stdout is not None
        assert [process.stdout.readline().split()[0] for _ in range(2)] == [b"8", b"9"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    # The interrupt may come after an event is printed and before it is counted: none is missed.
    assert (process.returncode, out) == (0, b"")
    assert err in (b"recorder: go on with --after 8\n", b"recorder: go on with --after 9\n")


def test_migrate_sets_up_a_database_and_may_be_repeated(cli: Cli, database: str) -> None:
    said = f"{database} is at this version's schema and holds 0 events\n"
    assert cli.ok("migrate").out == said
    assert cli.ok("migrate").out == said


def tamper(path: Path, statement: str) -> None:
    """Changes the database as somebody would who removes the triggers first."""
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()
