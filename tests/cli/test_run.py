from __future__ import annotations

import json
import os
import pty
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.builders import POSTER, STICKER, Cli, read_all, start


def test_a_completed_run_is_summed_up_and_recorded(cli: Cli, fal: str) -> None:
    told = cli("run", STICKER, "--input", "prompt=a cat")
    assert told.code == 0
    assert "status    ✓ completed in " in told.out
    assert 'input     {"prompt": "a cat"}' in told.out
    assert f"output  {fal}/media/" in told.out
    assert [line.split()[1] for line in told.out.splitlines() if line.startswith("✓ ")] == [
        "stable_diffusion_xl",
        "rembg",
        "face_to_sticker",
    ]
    assert [run["status"] for run in cli.ok("runs", "--json").json["runs"]] == ["completed"]


@pytest.mark.usefixtures("fal")
def test_progress_goes_to_stderr_one_line_an_event(cli: Cli) -> None:
    first, *events = cli("run", STICKER, "-i", "prompt=a cat").err.splitlines()
    assert first == f"running {STICKER}"
    assert [event.split("  ")[1] for event in events] == (["submit", "completion"] * 3 + ["output"])
    assert "/media/" in events[1]


@pytest.mark.usefixtures("fal")
def test_json_is_the_only_thing_on_stdout(cli: Cli) -> None:
    told = cli("run", POSTER, "-i", '{"prompt": "fox"}', "--json")
    run = told.json
    assert (told.code, run["status"], len(run["steps"])) == (0, "completed", 6)
    assert told.out == cli.ok("show", run["request_id"], "--json").out


@pytest.mark.usefixtures("fal")
def test_a_step_that_fails_fails_the_run(cli: Cli) -> None:
    told = cli("run", STICKER, "-i", "prompt=a cat", "-i", "num_images=9")
    assert told.code == 1
    assert "status    ✗ failed in " in told.out
    assert "  body.num_images: ensure this value is less than or equal to 8\n" in told.out


@pytest.mark.usefixtures("fal")
def test_a_refused_run_is_recorded_with_the_reason(cli: Cli) -> None:
    told = cli("run", STICKER)
    assert (told.code, told.err) == (1, "")
    assert told.out.endswith("✗ upstream answered 422\n  body.prompt: field required\n")
    assert len(cli.ok("runs", "--status", "failed", "--json").json["runs"]) == 1


def test_a_cut_stream_is_an_interrupted_run(cli: Cli, cut_fal: str) -> None:
    told = cli("run", f"{cut_fal}/{STICKER}/stream", "-i", "prompt=a cat", "--json")
    assert (told.code, told.json["status"], told.json["close_reason"]) == (1, "interrupted", "cut")
    assert [step["status"] for step in told.json["steps"]] == ["completed"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_run_is_closed_as_client_gone(cli: Cli, stalled_fal: str, name: str) -> None:
    target = f"{stalled_fal}/{STICKER}/stream"
    with start("run", target, "-i", "prompt=a cat") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"running ")
        assert b"submit" in process.stderr.readline()
        process.send_signal(signal.Signals[name])
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    [run] = cli.ok("runs", "--json").json["runs"]
    assert (run["status"], run["close_reason"]) == ("cancelled", "client_gone")
    said = f"recorder: interrupted; run {run['request_id']} is closed as client_gone\n"
    assert err.decode() == said


def test_leaving_before_an_answer_came_records_nothing_and_says_so(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/w/stream"
        with start("run", url) as process:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(4) == b"POST"
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
    said = b"recorder: interrupted before an answer came; nothing was recorded\n"
    assert (process.returncode, out, err) == (130, b"", said)
    assert cli.ok("runs", "--json").json["runs"] == []


@pytest.mark.usefixtures("fal")
def test_on_a_terminal_the_steps_move_on_stderr_and_stdout_stays_clean() -> None:
    ours, theirs = pty.openpty()
    process = start(
        "run", STICKER, "-i", "prompt=[red]x", "--json", stderr=theirs, env={"TERM": "xterm"}
    )
    os.close(theirs)
    shown = read_all(ours)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out)["status"] == "completed"
    assert "✓ face_to_sticker" in shown
    assert "\x1b[" in shown


@pytest.mark.usefixtures("fal")
def test_no_color_is_respected_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    env = {"TERM": "xterm", "NO_COLOR": "1"}
    process = start("run", STICKER, "-i", "prompt=x", stderr=theirs, env=env)
    os.close(theirs)
    shown = read_all(ours)
    process.communicate(timeout=30)
    assert "✓ face_to_sticker" in shown
    assert "\x1b[32m" not in shown


def test_an_import_is_done_once(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "a.sse"
    file.write_bytes(b'data: {"type": "output", "output": {}}\r\n\r\n')
    [first] = cli.ok("import", str(file), "--json").json["imported"]
    assert first["already_there"] is False
    told = cli.ok("import", str(file))
    assert told.out == f"{file} is in the log already as {first['request_id']}\n"
    assert len(cli.ok("runs", "--json").json["runs"]) == 1


def test_several_files_are_imported_at_once(cli: Cli, tmp_path: Path) -> None:
    files = [tmp_path / "a.sse", tmp_path / "b.sse"]
    for number, file in enumerate(files):
        file.write_text(f'data: {{"type": "output", "output": {{"n": {number}}}}}\n\n')
    imported = cli.ok("import", *map(str, files), "--workflow", "w/x", "--json").json["imported"]
    assert [one["path"] for one in imported] == [str(file) for file in files]
    runs = cli.ok("runs", "--workflow", "w/x", "--json").json["runs"]
    assert {run["request_id"] for run in runs} == {one["request_id"] for one in imported}
