from __future__ import annotations

import json
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from cli.demo.plan import plan
from tests.cli.builders import Cli, start


def test_serve_answers_until_interrupted_and_ends_with_0() -> None:
    with start("serve", "--port", "0") as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        url = next(found[0] for line in lines if (found := re.search(rb"^http://\S+", line)))
        with urllib.request.urlopen(f"{url.decode()}/api/v1/runs", timeout=30) as answer:
            assert json.load(answer)["runs"] == []
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    # No library has more to say after that, such as of objects nobody has freed.
    assert re.match(rb"INFO: +Finished server process", said.splitlines()[-1])


def test_emulator_serves_a_folder_of_workflows(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    one = {"id": "a", "type": "run", "app": "fal-ai/any-llm", "depends": [], "input": {}}
    definition = {"name": "one", "contents": {"nodes": {"a": one}, "output": {"text": "$a.output"}}}
    (folder / "one.json").write_text(json.dumps(definition))
    settings = tmp_path / "settings.json"
    settings.write_text('{"seed": 1}')
    args = ("--workflows", str(folder), "--settings", str(settings), "--port", "0")
    with start("emulator", *args) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        url = next(found[0] for line in lines if (found := re.search(rb"http://[\d.:]+", line)))
        with urllib.request.urlopen(url.decode(), timeout=30) as answer:
            offered = [workflow["id"] for workflow in json.load(answer)["workflows"]]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert (process.returncode, "workflows/local/one" in offered) == (0, True)


def test_the_plan_of_the_demo_is_the_same_each_time_and_holds_every_kind_of_end() -> None:
    assert plan(48) == plan(48)
    for number in (8, 9, 48, 200):
        planned = plan(number)
        assert len(planned) == number
        assert {run.expected for run in planned} == {"completed", "failed", "interrupted"}


def test_the_demo_records_checks_and_ends_and_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with start("demo", "--exit", "--runs", "8", "--port", "0") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    *_, last = out.decode().splitlines()
    assert re.fullmatch(
        r"✓ 8 runs \(3 completed, 4 failed, 1 interrupted\), \d+ events, [\d.]+ kB: "
        r"bytes equal, chain intact, 0 differences; [\d.]+ s",
        last,
    )
    assert not (tmp_path / "runs.db").exists(), "the user's own database"
    assert list(tmp_path.glob("recorder-demo*")) == []


def test_the_demo_serves_on_until_interrupted(cli: Cli, database: str) -> None:
    with start("demo", "--runs", "8", "--port", "0", "--db", database) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        said = next(line for line in lines if line.startswith(b"Serving "))
        url = said.split()[1].decode()
        with urllib.request.urlopen(f"{url}/api/v1/runs", timeout=30) as answer:
            assert len(json.load(answer)["runs"]) == 8
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(cli.ok("runs", "--json").json["runs"]) == 8
