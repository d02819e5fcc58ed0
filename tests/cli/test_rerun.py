"""`recorder rerun`: a recorded run's workflow once more."""

from __future__ import annotations

import json
from typing import Any

import pytest

import recorder
from recorder.documents import Mode
from tests.builders import history, opened
from tests.cli.builders import STICKER, Cli


def record(database: str, request_id: str, **fields: Any) -> None:
    document = opened(request_id, workflow=STICKER, **fields)
    with recorder.open(database) as rec:
        rec.log.append(history(request_id, document=document))


def body_of(cli: Cli, request_id: str) -> Any:
    shown = cli.ok("show", request_id, "--events", "--json").json
    return json.loads(shown["events"][0]["frame"])["input"]


@pytest.mark.usefixtures("fal")
def test_the_same_input_is_run_again_as_the_child_of_the_first(cli: Cli) -> None:
    first = cli("run", STICKER, "-i", "prompt=a cat", "--json").json["request_id"]
    told = cli("rerun", first, "--json")
    assert (told.code, told.json["status"], told.json["parent"]) == (0, "completed", first)
    assert body_of(cli, told.json["request_id"]) == body_of(cli, first)
    assert f"rerun of  {first}" in cli.ok("show", told.json["request_id"]).out


@pytest.mark.usefixtures("fal")
def test_set_changes_fields_of_the_input(cli: Cli, database: str) -> None:
    record(database, "first", input='{"prompt": "a cat", "num_images": 1}')
    told = cli("rerun", "first", "--set", "prompt=a dog", "--set", "num_images=2", "--json")
    assert (told.code, told.json["status"]) == (0, "completed")
    assert json.loads(body_of(cli, told.json["request_id"])) == {"prompt": "a dog", "num_images": 2}


@pytest.mark.usefixtures("fal")
def test_a_rerun_that_fails_exits_with_1(cli: Cli, database: str) -> None:
    record(database, "first", input='{"prompt": "a cat"}')
    told = cli("rerun", "first", "--set", "num_images=9")
    assert told.code == 1
    assert "status    ✗ failed in " in told.out


@pytest.mark.usefixtures("fal")
@pytest.mark.parametrize(
    ("mode", "now", "said"),
    [
        ("call", "call", ""),
        ("queue", "stream", "recorder: it went through the queue; started for its stream\n"),
    ],
)
def test_a_call_is_called_again_and_a_queued_run_is_started_for_its_stream(
    cli: Cli, database: str, mode: Mode, now: Mode, said: str
) -> None:
    record(database, "first", input='{"prompt": "a cat"}', mode=mode)
    told = cli("rerun", "first", "--json")
    assert (told.code, told.json["status"], told.json["mode"]) == (0, "completed", now)
    assert told.err.startswith(said)


@pytest.mark.usefixtures("fal")
def test_another_target_can_be_named(cli: Cli, database: str) -> None:
    document = opened("first", workflow="w", input='{"prompt": "a cat"}')
    with recorder.open(database) as rec:
        rec.log.append(history("first", document=document))
    assert cli("rerun", "first").code == 2
    told = cli("rerun", "first", "--target", STICKER, "--json")
    assert (told.code, told.json["workflow"], told.json["parent"]) == (0, STICKER, "first")


def test_a_run_whose_input_is_not_recorded_is_not_started(cli: Cli, database: str) -> None:
    record(database, "first")
    told = cli("rerun", "first")
    said = "recorder: run first cannot be started again: its input is not recorded\n"
    assert (told.code, told.out, told.err) == (2, "", said)
