"""Runs over real sockets: the wire form, the order of events and what they carry."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import (
    EXECUTE,
    STICKER,
    display_node,
    editor,
    execute,
    input_node,
    play,
    run_node,
    slow,
)

SMALL: dict[str, Any] = {
    "prompt": "a cute puppy",
    "seed": 6252023,
    "image_size": {"width": 96, "height": 64},
}


def test_the_sticker_workflow_streams_its_steps_in_order(client: httpx.Client) -> None:
    played = play(client, STICKER, SMALL)
    nodes = ["stable_diffusion_xl", "rembg", "face_to_sticker"]
    steps = [(kind, node) for node in nodes for kind in ("submit", "completion")]
    assert played.order == [*steps, ("output", None)]
    assert not played.broken


def test_the_events_have_the_shape_of_the_protocol(client: httpx.Client) -> None:
    events = play(client, STICKER, SMALL).events
    step_id = events[0].pop("request_id")
    assert str(uuid.UUID(step_id, version=4)) == step_id
    assert events[0] == {
        "type": "submit",
        "node_id": "stable_diffusion_xl",
        "app_id": "fal-ai/fast-sdxl",
    }
    output = events[1].pop("output")
    url, seconds = output["images"][0].pop("url"), output["timings"].pop("inference")
    assert events[1] == {"type": "completion", "node_id": "stable_diffusion_xl"}
    assert output == {
        "images": [{"width": 96, "height": 64, "content_type": "image/png"}],
        "timings": {},
        "seed": 6252023,
        "has_nsfw_concepts": [False],
        "prompt": "a cute puppy",
    }
    assert seconds > 0
    assert client.get(url).content.startswith(b"\x89PNG")
    assert events[-1] == {"type": "output", "output": {"images": events[-2]["output"]["images"]}}


def test_the_bytes_look_as_on_fal(client: httpx.Client) -> None:
    played = play(client, STICKER, SMALL)
    assert played.body.count(b"\n") == played.body.count(b"\r\n") == 2 * 7
    blocks = played.body.split(b"\r\n\r\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b'data: {"type": "') for block in blocks)
    headers = played.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert str(uuid.UUID(headers["x-fal-request-id"], version=4)) == headers["x-fal-request-id"]


def test_non_ascii_text_can_be_sent_as_utf8() -> None:
    with (
        EmulatorServer(EmulatorSettings(ensure_ascii=False)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        played = execute(client, {"a": run_node("x", prompt="$input.p")}, {"p": "Häschen 🐇"})
    assert "Häschen 🐇".encode() in played.body


def test_every_answer_has_its_own_request_id(client: httpx.Client) -> None:
    answers = [client.get("/"), client.get("/nothing"), client.post(STICKER), client.get("/")]
    assert len({answer.headers["x-fal-request-id"] for answer in answers}) == 4


def test_the_plain_call_answers_the_output_only(client: httpx.Client) -> None:
    answer = client.post(STICKER, json=SMALL)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == play(client, STICKER, SMALL).output


def test_keep_alive_comments_flow_while_a_step_works() -> None:
    with (
        EmulatorServer(EmulatorSettings(ping_interval_s=0.01)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        played = execute(client, {"a": run_node("x")}, apps=slow(0.1))
    pings = re.findall(rb": ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00:00\r\n\r\n", played.body)
    assert pings != []
    assert played.order == [("submit", "a"), ("completion", "a"), ("output", None)]


def test_independent_nodes_run_at_the_same_time(client: httpx.Client) -> None:
    nodes = {
        "slow": run_node("app/slow"),
        "quick": run_node("app/quick"),
        "after-quick": run_node("app/quick", u="$quick.url"),
        "end": run_node("app/quick", ["slow"], u="$after-quick.output"),
    }
    played = execute(client, nodes, apps={"app/slow": slow(0.2)["*"]})
    assert played.order == [
        ("submit", "slow"),
        ("submit", "quick"),
        ("completion", "quick"),
        ("submit", "after-quick"),
        ("completion", "after-quick"),
        ("completion", "slow"),
        ("submit", "end"),
        ("completion", "end"),
        ("output", None),
    ]


def test_inference_time_includes_the_configured_latency(client: httpx.Client) -> None:
    played = execute(client, {"a": run_node("x")}, apps=slow(0.05))
    assert 0.05 <= played.events[1]["output"]["timings"]["inference"] < 5


def test_twenty_seven_nodes_with_incomplete_depends_run(client: httpx.Client) -> None:
    nodes = {"input": input_node(prompt="from the definition")}
    nodes["n/0"] = run_node("x", ["input"], prompt="$input.prompt")
    for number in range(1, 26):
        reads = {"images": [f"$n/{number - 1}.images.0.url", f"$n/{number // 2}.output"]}
        nodes[f"n/{number}"] = run_node("x", **reads)
    nodes["output"] = display_node({"last": "$n/25.video.url", "text": "$n/0.output"})
    played = execute(client, nodes)
    assert [node for kind, node in played.order if kind == "completion"] == [
        f"n/{number}" for number in range(26)
    ]
    assert played.output["text"] == "Placeholder answer of x to: from the definition"
    assert client.get(played.output["last"]).status_code == 200


def test_the_output_of_a_definition_wins_over_its_display_nodes(client: httpx.Client) -> None:
    nodes = {"a": run_node("x"), "d": display_node({"shown": "$a.output"})}
    assert execute(client, editor(nodes, {"o": ["$input.p"]}), {"p": 1}).output == {"o": [1]}


def test_display_fields_are_merged_into_the_output(client: httpx.Client) -> None:
    nodes = {
        "a": run_node("x"),
        "one": display_node({"t": "$a.output", "p": "$input.p"}),
        "two": display_node({"p": "$one.p"}),
        "list": display_node(["$input.p"]),
    }
    assert execute(client, nodes, {"p": 1}).output == {
        "t": "Placeholder answer of x",
        "p": 1,
        "list": [1],
    }


def test_without_output_and_display_the_sinks_are_the_output(client: httpx.Client) -> None:
    one = {"a": run_node("x"), "b": run_node("y", ["a"])}
    assert execute(client, one).output["output"] == "Placeholder answer of y"
    two = execute(client, {"a": run_node("x"), "b": run_node("y")}).output
    assert {name: value["output"] for name, value in two.items()} == {
        "a": "Placeholder answer of x",
        "b": "Placeholder answer of y",
    }


def test_an_app_that_refuses_its_input_ends_the_stream_with_its_error(client: httpx.Client) -> None:
    played = play(client, STICKER, SMALL | {"num_images": 9})
    step_id = played.events[0]["request_id"]
    assert played.events[1:] == [
        {
            "type": "error",
            "node_id": "stable_diffusion_xl",
            "message": f"Error while fetching the result of the request {step_id}",
            "error": {
                "status": 422,
                "body": {
                    "detail": [
                        {
                            "loc": ["body", "num_images"],
                            "msg": "ensure this value is less than or equal to 8",
                            "type": "value_error.number.not_le",
                            "ctx": {"limit_value": 8},
                        }
                    ]
                },
            },
        }
    ]
    assert not played.broken


def test_the_plain_call_answers_the_failing_steps_error(client: httpx.Client) -> None:
    answer = client.post(STICKER, json=SMALL | {"num_images": 9})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "num_images"]


def test_nothing_is_reported_after_an_error(client: httpx.Client) -> None:
    nodes = {"slow": run_node("app/slow"), "bad": run_node("fal-ai/imageutils/rembg")}
    played = execute(client, nodes, apps={"app/slow": slow(60)["*"]})
    assert played.order == [("submit", "slow"), ("submit", "bad"), ("error", "bad")]


def test_a_real_app_without_the_referenced_value_is_an_error(client: httpx.Client) -> None:
    nodes = {
        "draw": run_node("fal-ai/fast-sdxl", None, **SMALL),
        "next": run_node("x", u="$draw.image.url"),
    }
    played = execute(client, nodes)
    assert played.order == [("submit", "draw"), ("completion", "draw"), ("error", "next")]
    assert played.events[-1] == {
        "type": "error",
        "node_id": "next",
        "message": "$draw.image.url does not resolve: the object has no 'image'",
        "error": {
            "status": 422,
            "body": {
                "detail": [
                    {
                        "loc": ["$draw.image.url"],
                        "msg": "the object has no 'image'",
                        "type": "value_error.reference",
                    }
                ]
            },
        },
    }


def test_an_output_that_does_not_resolve_is_an_error_of_the_node_it_reads(
    client: httpx.Client,
) -> None:
    nodes = {"draw": run_node("fal-ai/fast-sdxl", None, **SMALL)}
    played = execute(client, editor(nodes, {"o": "$draw.images.1"}))
    assert played.order[-1] == ("error", "draw")


def test_a_whole_input_taken_from_another_node_has_to_be_an_object(client: httpx.Client) -> None:
    nodes = {"a": run_node("x"), "b": run_node("x") | {"input": "$a.output"}}
    played = execute(client, nodes)
    assert played.order[2:] == [("submit", "b"), ("error", "b")]
    assert played.events[-1]["error"] == {
        "status": 422,
        "body": {
            "detail": [
                {"loc": ["body"], "msg": "value is not a valid dict", "type": "type_error.dict"}
            ]
        },
    }


def test_the_network_is_never_used_for_an_input_picture(client: httpx.Client) -> None:
    nodes = {"cut": run_node("fal-ai/imageutils/rembg", image_url="https://fal.media/a.png")}
    played = execute(client, nodes)
    assert played.order == [("submit", "cut"), ("error", "cut")]
    [problem] = played.events[-1]["error"]["body"]["detail"]
    assert problem["loc"] == ["body", "image_url"]
    assert problem["msg"].startswith("only data: URIs and files under http://127.0.0.1:")


@pytest.mark.parametrize("suffix", ["", "/stream"])
def test_the_poster_workflow_runs_from_the_shipped_file(client: httpx.Client, suffix: str) -> None:
    body = {"prompt": "a fox", "seed": 1}
    answer = client.post(f"/workflows/fal-ai/poster-lab{suffix}", json=body)
    assert answer.status_code == 200
    assert "Placeholder answer of fal-ai/any-llm to: a fox" in answer.text


def test_the_index_lists_what_can_be_called(client: httpx.Client) -> None:
    listed = client.get("/").json()["workflows"]
    assert [workflow["id"] for workflow in listed] == [
        "workflows/fal-ai/poster-lab",
        "workflows/fal-ai/sdxl-sticker",
    ]
    assert listed[1] == {
        "id": "workflows/fal-ai/sdxl-sticker",
        "title": "SDXL sticker",
        "nodes": ["stable_diffusion_xl", "rembg", "face_to_sticker"],
        "input": ["prompt", "seed", "num_images", "image_size"],
        "url": f"{str(client.base_url).rstrip('/')}{STICKER}",
        "stream_url": f"{str(client.base_url).rstrip('/')}{STICKER}/stream",
        "queue_url": f"{str(client.base_url).rstrip('/')}/queue{STICKER}",
    }


def test_media_addresses_follow_the_host_of_the_request(client: httpx.Client) -> None:
    body = {"input": {}, "workflow": {"a": run_node("x"), "d": display_node({"u": "$a.url"})}}
    answer = client.post(EXECUTE, json=body, headers={"host": "pictures.test:99"})
    assert answer.json()["u"].startswith("http://pictures.test:99/media/")
