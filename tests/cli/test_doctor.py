from __future__ import annotations

from pathlib import Path

import pytest

import recorder
from recorder.bootstrap import Recorder
from recorder.events import Gap
from recorder.store.spool import Spool, SpooledEvent
from tests.builders import new_event, opened, plain_run
from tests.cli.builders import Cli, three_steps
from tests.cli.test_journal import tamper

HEALTHY = """\
✓ chain        intact up to position 9
✓ projection   up to date at position 9
✓ gaps         nothing received was lost
✓ orphans      every run begins with its `opened` event
✓ open_runs    0 runs open, each with its recorder
✓ interrupted  no run lost its recorder
✓ spool        nothing waits in the spool
"""


@pytest.fixture
def filled(cli: Cli, tmp_path: Path) -> None:
    cli.ok("import", three_steps(tmp_path / "one.jsonl"), "--request-id", "one")
    cli.ok("runs")


def line(said: str, check: str) -> str:
    return next(each for each in said.splitlines() if each[2:].startswith(f"{check} "))


@pytest.mark.usefixtures("filled")
def test_a_healthy_log_has_a_line_for_every_check(cli: Cli) -> None:
    assert cli.ok("doctor").out == HEALTHY
    findings = cli.ok("doctor", "--json").json["findings"]
    assert findings[0] == {
        "check": "chain",
        "severity": "ok",
        "summary": "intact up to position 9",
        "examples": [],
    }
    assert {finding["severity"] for finding in findings} == {"ok"}


@pytest.mark.usefixtures("filled")
def test_a_changed_event_is_a_problem_and_fails_the_check(cli: Cli, tmp_path: Path) -> None:
    tamper(tmp_path / "runs.db", "UPDATE events SET node_id = 'forged' WHERE position = 4")
    told = cli("doctor")
    assert (told.code, told.out.splitlines()[:2]) == (
        1,
        [
            "✗ chain        broken at position 4: the row is not the one recorded",
            "               position 4",
        ],
    )
    assert cli("doctor", "--json").code == 1


def test_ids_from_outside_do_nothing_to_the_terminal(cli: Cli, database: str) -> None:
    with recorder.open(database) as rec:
        rec.log.append(plain_run("\x1b[2J\u202eid", 1))
    told = cli.ok("doctor").out
    assert "· orphans      no `opened` event in 1 run\n               \\x1b[2J\\u202eid\n" in told
    assert line(told, "projection") == "· projection   behind by 1; reading catches it up"


def test_lost_events_are_a_problem_with_at_most_ten_names(cli: Cli, database: str) -> None:
    with recorder.open(database) as rec:
        for number in range(12):
            lose_an_event(rec, f"run-{number:02}")
    told = cli("doctor")
    assert (told.code, line(told.out, "gaps")) == (
        1,
        "✗ gaps         events that found no room are missing in 12 runs",
    )
    assert line(told.out, "open_runs").startswith("· open_runs    the recorder of 12 open runs")
    findings = {each["check"]: each for each in cli("doctor", "--json").json["findings"]}
    assert findings["gaps"]["examples"] == [f"run-{number:02}" for number in range(10)]


def lose_an_event(rec: Recorder, request_id: str) -> None:
    gap = Gap(lost_events=1, lost_bytes=9, reason="no room")
    document = opened(request_id)
    rec.log.append([new_event(request_id, 0, document), new_event(request_id, 1, gap)])


@pytest.mark.usefixtures("filled")
def test_what_could_not_be_appended_from_the_spool_is_a_problem(cli: Cli, database: str) -> None:
    with recorder.open(database) as rec:
        folder = rec.spool_folder
    spool = Spool(folder, "00000000-0000-4000-8000-000000000000")
    spool.keep_refused([SpooledEvent(None, True, 0, new_event("\x1b[2J", 0, b""))])
    spool.close()
    (folder / "00000000-0000-4000-8000-000000000000-000000000001.spool").write_bytes(b"half")
    told = cli("doctor")
    assert told.code == 1
    assert told.out.splitlines()[-5:] == [
        "✓ spool        nothing waits in the spool",
        f"✗ damaged      1 file in {folder} could not be read to the end; what could be is in the "
        "log; delete what nobody needs any more",
        "               00000000-0000-4000-8000-000000000000-000000000001.damaged",
        f"✗ refused      the log refused 1 event of 1 run, kept in 1 file in {folder}; delete what "
        "nobody needs any more",
        "               \\x1b[2J: 1 event",
    ]


def test_a_database_that_cannot_be_reached_is_one_line_and_2(cli: Cli) -> None:
    told = cli("doctor", "--db", "postgresql://nobody@127.0.0.1:1/x")
    assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1)
