from __future__ import annotations

from typing import Any

import httpx
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import EXECUTE, STICKER, editor, input_node, refuse, run_node

STREAMS = [f"{STICKER}/stream", f"{EXECUTE}/stream", STICKER, EXECUTE]


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b'{"prompt": 1e400}',
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"a": ' * 200_000,
        b'{"a": ' * 200_000 + b"1" + b"}" * 200_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_usable_object_is_refused(
    client: httpx.Client, path: str, body: bytes
) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert set(problem) == {"loc", "msg", "type"}
    assert problem["loc"][0] == "body"


def test_missing_and_mistyped_input_fields_are_reported_together(client: httpx.Client) -> None:
    answer = client.post(f"{STICKER}/stream", json={"seed": "1"})
    assert (answer.status_code, answer.json()) == (
        422,
        {
            "detail": [
                {"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"},
                {
                    "loc": ["body", "seed"],
                    "msg": "value is not a valid integer",
                    "type": "type_error.integer",
                },
            ]
        },
    )


def test_an_input_value_the_workflow_reads_has_to_be_there(client: httpx.Client) -> None:
    nodes = {"input": input_node(kept="x"), "a": run_node("x", u=["$input.kept", "$input.a.b"])}
    assert refuse(client, nodes, {"a": {}}) == [
        {
            "loc": ["body", "input", "a", "b"],
            "msg": "field required, the workflow reads $input.a.b",
            "type": "value_error.missing",
        }
    ]


@pytest.mark.parametrize(
    ("workflow", "loc", "kind"),
    [
        ([], [], "type_error.dict"),
        (editor({"a": run_node("x", ["a"])}), ["contents", "nodes"], "value_error.cycle"),
        ({"a": run_node("x", u="$b")}, ["a", "input", "u"], "value_error.unknown_node"),
        ({"a": {"type": "loop"}}, ["a", "type"], "value_error.const"),
    ],
)
def test_a_definition_that_cannot_run_is_refused_before_the_stream(
    client: httpx.Client, workflow: Any, loc: list[str], kind: str
) -> None:
    [problem] = refuse(client, workflow)
    assert (problem["loc"], problem["type"]) == (["body", "workflow", *loc], kind)


def test_the_execute_body_needs_a_workflow_and_an_object_as_input(client: httpx.Client) -> None:
    missing = {"loc": ["body", "workflow"], "msg": "field required", "type": "value_error.missing"}
    assert client.post(EXECUTE, json={"input": {}}).json() == {"detail": [missing]}
    [problem] = refuse(client, {}, [])
    assert problem["loc"] == ["body", "input"]


def test_unknown_addresses_are_answered_in_fals_manner(client: httpx.Client) -> None:
    answers = {
        path: client.post(path, json={})
        for path in ("/workflows/a/b", "/workflows/a/b/stream", "/nowhere")
    }
    assert {path: (a.status_code, a.json()) for path, a in answers.items()} == {
        "/workflows/a/b": (404, {"detail": "Workflow 'workflows/a/b' not found"}),
        "/workflows/a/b/stream": (404, {"detail": "Workflow 'workflows/a/b' not found"}),
        "/nowhere": (404, {"detail": "Not Found"}),
    }
    wrong_method = client.get(STICKER)
    assert (wrong_method.status_code, wrong_method.json()) == (
        405,
        {"detail": "Method Not Allowed"},
    )
    assert wrong_method.headers["allow"] == "POST"


@pytest.mark.parametrize("path", STREAMS)
def test_a_body_over_the_limit_is_answered_with_413(path: str) -> None:
    with EmulatorServer(EmulatorSettings(max_body_bytes=100)) as server:
        answer = httpx.post(f"{server.url}{path}", content=b" " * 2_000_000)
    assert (answer.status_code, answer.json()) == (
        413,
        {"detail": "The request body is longer than 100 bytes"},
    )
