"""`recorder replay`: a run played again on the terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
from pathlib import Path

import pytest

import recorder
from recorder.events import NewEvent
from tests.builders import error, frame, history, new_event, opened, output, submit
from tests.cli.builders import STICKER, Cli, read_all, start, three_steps
from tests.raw import RawDatabase

AT_ONCE = ("--speed", "max")


@pytest.fixture
def three(cli: Cli, tmp_path: Path) -> None:
    """A run of three steps, which took two seconds."""
    file = three_steps(tmp_path / "three.jsonl")
    cli.ok("import", file, "--request-id", "three", "--workflow", STICKER)


def record(database: str, events: list[NewEvent]) -> None:
    with recorder.open(database) as rec:
        rec.log.append(events)


@pytest.mark.usefixtures("three")
def test_it_is_shown_as_when_it_ran_in_the_time_of_the_run(cli: Cli) -> None:
    told = cli("replay", "three", *AT_ONCE)
    first, *lines = told.err.splitlines()
    assert (told.code, first) == (0, f"replaying {STICKER}")
    assert [line.split("  ")[:2] for line in lines] == [
        ["+0 µs", "submit"],
        ["+1.00 s", "completion"],
        ["+1.00 s", "submit"],
        ["+1.50 s", "completion"],
        ["+1.50 s", "submit"],
        ["+2.00 s", "completion"],
        ["+2.00 s", "output"],
    ]
    assert told.out == cli.ok("show", "three").out


@pytest.mark.usefixtures("three")
def test_on_a_terminal_the_steps_move_as_when_it_ran() -> None:
    ours, theirs = pty.openpty()
    env = {"TERM": "xterm"}
    process = start("replay", "three", "--speed", "100", stderr=theirs, env=env)
    os.close(theirs)
    shown = read_all(ours)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "✓ stick" in shown
    assert "status    ✓ completed in 2.00 s" in out.decode()


@pytest.mark.usefixtures("three")
def test_a_step_finds_its_run(cli: Cli) -> None:
    assert cli("replay", "step-cut", *AT_ONCE).out == cli("replay", "three", *AT_ONCE).out


@pytest.mark.usefixtures("three")
def test_json_is_one_event_a_line_from_where_it_is_asked_to_begin(cli: Cli) -> None:
    told = cli.ok("replay", "three", *AT_ONCE, "--json", "--from-seq", "6")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [(event["seq"], event["type"]) for event in events] == [
        (6, "completion"),
        (7, "output"),
        (8, "closed"),
    ]


def test_raw_is_the_exact_body(cli: Cli, tmp_path: Path) -> None:
    body = b": ping\r\n\r\ndata: \xff\x00\r\n\r\ndata: never ended"
    file = tmp_path / "odd.sse"
    file.write_bytes(body)
    cli.ok("import", str(file), "--request-id", "odd")
    with start("replay", "odd", *AT_ONCE, "--raw") as process:
        assert process.communicate(timeout=30) == (body, b"")


def test_raw_ends_where_bytes_are_missing_and_says_so(cli: Cli, database: str) -> None:
    record(database, history("run", submit("a"), submit("b"), output()))
    raw = RawDatabase(database)
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
    raw.close()
    told = cli("replay", "run", *AT_ONCE, "--raw")
    said = "recorder: the body breaks off here: seq 2 has been erased\n"
    assert (told.code, told.out.encode(), told.err) == (1, submit("a"), said)


def test_a_failure_is_played_as_one_and_the_replay_is_done(cli: Cli, database: str) -> None:
    record(database, history("run", submit("a"), error("a", message="no"), document=opened("run")))
    told = cli("replay", "run", *AT_ONCE)
    assert told.code == 0
    assert "✗ a: no" in told.out


def test_a_run_that_goes_on_is_followed_to_its_end(database: str) -> None:
    whole = history("run", submit("a"), frame({"type": "ping"}), output())
    with recorder.open(database) as rec:
        rec.log.append(whole[:2])
        with start("replay", "run", *AT_ONCE, "--json") as process:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline())["seq"] for _ in range(2)]
            for event in whole[2:]:
                rec.log.append([event])
                seen.append(json.loads(process.stdout.readline())["seq"])
            out, err = process.communicate(timeout=30)
    assert (seen, out, err, process.returncode) == ([0, 1, 2, 3, 4], b"", b"", 0)


def test_ctrl_c_ends_it(database: str) -> None:
    record(database, [new_event("run", 0, opened("run")), new_event("run", 1, submit("a"))])
    with start("replay", "run", "--json", *AT_ONCE) as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(2)] == [0, 1]
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 130
