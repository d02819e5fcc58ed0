from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from cli.commands.listing import Status
from recorder.projections.runs import RunStatus
from tests.cli.builders import STICKER, Cli, start


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--nope", "No such option: --nope (see recorder --help)"),
        ("nope", "No such command 'nope' (see recorder --help)"),
        ("run", "Missing argument 'TARGET' (see recorder run --help)"),
        ("runs --limit x", None),
        ("runs --limit 0", "limit: is from 1 to 1000"),
        ("runs --status nope", None),
        ("runs --since nope", None),
        ("report --by node,node", "by: names each of workflow, node, app at most once"),
        ("report --by nope", "by: names each of workflow, node, app at most once"),
        ("show nope", "no run nope"),
        ("show \x1b[31m\n", "no run \\x1b[31m"),
        (f"run {STICKER}", None),
        ("run nope", None),
        (f"run {STICKER} -i x", "--input: 'x' is none of key=value, @file.json and a JSON object"),
        ("run http://[/x", None),
        ("run ftp://x/y", None),
        ("import nowhere.sse", "nowhere.sse: no such file or directory"),
        ("import picture.png", "picture.png: a transcript ends in .sse or .jsonl"),
        ("import a.run.zip", "a.run.zip: no such file or directory"),
        (
            "import a.run.zip --workflow x",
            "--workflow and --request-id are for transcripts; exported runs have theirs",
        ),
        ("export nope -o a.run.zip", "no run nope"),
        (
            "export nope -o runs.db",
            "--output: 'runs.db' does not end in .run.zip, by which import knows it",
        ),
        ("export nope", "Missing option '--output' / '-o' (see recorder export --help)"),
        ("replay nope", "no run nope"),
        ("replay nope --speed 0", "speed: is max, or a number from 0.001 to 1e+06"),
        ("replay nope --max-gap nan", "--max-gap: is from 0 to 86,400 seconds"),
        ("replay nope --max-gap inf", "--max-gap: is from 0 to 86,400 seconds"),
        ("replay nope --max-gap -1", "--max-gap: is from 0 to 86,400 seconds"),
        ("replay nope --raw --json", "--raw and --json are two forms; give one"),
        ("diff nope other", "no run nope"),
        ("rerun nope", "no run nope"),
        ("rerun nope --set x", "--set: 'x' is not key=value"),
        ("tail --url http://127.0.0.1:1 --db x", "--url and --db name two logs; give one"),
        ("tail --url http://127.0.0.1:1", None),
        ("tail --url http://127.0.0.1:1 --after 0", None),
        ("tail --url nope", None),
        ("import a.sse b.sse --request-id x", "--request-id names one run; give one file"),
        ("import a.sse --request-id ", "--request-id is empty"),
        ("emulator --workflows nowhere", "nowhere: not a folder of workflow definitions"),
        ("emulator --settings nowhere", "--settings: nowhere: no such file or directory"),
        ("runs --db nope", "the database URL is not a SQLAlchemy URL"),
        ("runs --db mysql://u:hidden@x/y", "the log lives in SQLite or PostgreSQL, not in mysql"),
        ("runs --db postgresql://u:hidden@127.0.0.1:1/y", None),
        ("runs --db sqlite:////dev/null/runs.db", None),
        ("demo --runs 1", None),
    ],
)
def test_wrong_usage_is_told_in_one_line_and_exits_with_2(
    cli: Cli, command: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = cli(*command.split(" "))
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("recorder: ")
    assert told.err.count("\n") == 1
    assert "hidden" not in told.err
    assert "unexpected" not in told.err
    assert said is None or told.err == f"recorder: {said}\n"


def test_an_endpoint_that_does_not_answer_is_told_in_one_line(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = cli("run", f"http://127.0.0.1:{port}/w/stream?fal_jwt_token=hidden")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith(f"recorder: http://127.0.0.1:{port}/w/stream?fal_jwt_token=[redact")


@pytest.mark.parametrize("command", ["serve", "emulator"])
def test_a_taken_port_is_told_in_one_line(cli: Cli, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = cli(command, "--port", str(port))
    said = f"recorder: cannot listen on 127.0.0.1:{port}: address already in use\n"
    assert (told.code, told.out, told.err) == (2, "", said)


@pytest.mark.parametrize("key", ["hidden\nkey", "hiddén", " hidden key "])
def test_a_key_that_is_none_is_refused_and_never_shown(
    cli: Cli, fal: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("FAL_KEY", key)
    told = cli("run", f"{fal}/{STICKER}/stream")
    assert told.code in (1, 2)
    assert "hidd" not in told.out + told.err


def test_an_unexpected_error_is_one_line_with_a_hint(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "hidden-key")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("cannot use hidden-key\nfor postgresql://u:hidden@host/x")

    monkeypatch.setattr("cli.options.open_recorder", fail)
    told = cli("runs")
    said = (
        "recorder: unexpected ZeroDivisionError: cannot use [redacted] for "
        "postgresql://u:[redacted]@host/x (RECORDER_DEBUG=1 shows the traceback)\n"
    )
    assert (told.code, told.out, told.err) == (2, "", said)
    monkeypatch.setenv("RECORDER_DEBUG", "1")
    told = cli("runs")
    assert "Traceback (most recent call last)" in told.err
    assert "hidden" not in told.err


def test_a_database_of_another_program_is_refused(cli: Cli, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("CREATE TABLE events (id)")
    connection.close()
    told = cli("runs")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "tables that are not the recorder's (events)" in told.err


def test_a_newer_schema_is_refused(cli: Cli, tmp_path: Path) -> None:
    cli.ok("migrate")
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for command in ("runs", "migrate"):
        told = cli(command)
        assert (told.code, told.out) == (2, "")
        assert "revision 9999" in told.err
        assert told.err.count("\n") == 1


def test_a_closed_pipe_is_silent(cli: Cli, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text('{"type": "submit", "node_id": "a node with a long name"}\n' * 3_000)
    cli.ok("import", str(many), "--request-id", "many")
    for command in (("show", "many"), ("show", "many", "--json"), ("tail", "--after", "0")):
        process = start(*command)
        assert process.stdout is not None
        assert process.stdout.read(1) != b""
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (141, b""), command


def test_help_comes_without_loading_what_only_commands_need() -> None:
    heavy = "sqlalchemy alembic duckdb pyarrow fastapi uvicorn httpx pydantic PIL emulator analytics api"
    code = (
        "import sys, cli.main; cli.main.main(['--help']); "
        f"print(sorted(set({heavy.split()!r}) & set(sys.modules)), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"Usage: recorder" in told.stdout
    assert told.stderr == b"[]\n"


def test_without_arguments_the_help_is_shown(cli: Cli) -> None:
    assert cli.ok().out == cli.ok("--help").out


def test_a_locale_without_our_characters_is_no_failure(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"type": "submit", "node_id": "größe"}\n')
    cli.ok("import", str(file), "--request-id", "a")
    with start("show", "a", env={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"gr\\xf6\\xdfe" in out


def test_the_statuses_one_can_ask_for_are_those_of_runs() -> None:
    names = [status.value for status in Status]
    assert names == list(get_args(RunStatus))
