"""Definitions as fal's platform API gives them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from emulator.definition import parse
from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import Json, display_node, editor, run_node

KEY = {"authorization": "Key any:key"}
NODES: Json = {"a": run_node("x", prompt="$input.p"), "end": display_node({"t": "$a.output"})}


def definition_of(document: Any) -> Any:
    settings = EmulatorSettings(workflows={"me/mine": document})
    with EmulatorServer(settings) as server:
        answer = httpx.get(f"{server.url}/v1/workflows/me/mine", headers=KEY)
    assert answer.status_code == 200
    return answer.json()


def test_an_editor_document_is_given_as_it_is_kept() -> None:
    document = editor(NODES, {"text": "$a.output"}, {"p": {"type": "string"}})
    assert definition_of(document) == {
        "workflow": {
            "name": "mine",
            "title": "W",
            "user_nickname": "me",
            "is_public": True,
            "contents": document["contents"],
        }
    }


@pytest.mark.parametrize("document", [editor(NODES)["contents"], NODES], ids=["contents", "flat"])
def test_the_other_shapes_are_given_in_the_editors(document: Json) -> None:
    given = definition_of(document)["workflow"]
    assert given["contents"]["nodes"] == NODES
    assert parse(given) == parse(editor(NODES) | {"title": ""})


def test_a_shipped_workflow_is_given_too(client: httpx.Client) -> None:
    given = client.get("/v1/workflows/fal-ai/sdxl-sticker", headers=KEY).json()["workflow"]
    assert list(given["contents"]["nodes"]) == ["stable_diffusion_xl", "rembg", "face_to_sticker"]


@pytest.mark.parametrize("path", ["fal-ai/sdxl-sticker", "a/b"])
def test_a_key_is_always_needed(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/v1/workflows/{path}")
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "error": {
                "type": "authorization_error",
                "message": "Authentication required",
                "request_id": answer.headers["x-fal-request-id"],
            }
        },
    )


def test_only_known_keys_will_do_where_keys_are_listed() -> None:
    with EmulatorServer(EmulatorSettings(require_key=("known",))) as server:
        url = f"{server.url}/v1/workflows/fal-ai/sdxl-sticker"
        known = httpx.get(url, headers={"authorization": "Key known"})
        assert [known.status_code, httpx.get(url, headers=KEY).status_code] == [200, 401]


def test_an_unknown_workflow_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/v1/workflows/a/b", headers=KEY)
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "error": {
                "type": "not_found",
                "message": "Workflow not found",
                "request_id": answer.headers["x-fal-request-id"],
            }
        },
    )
