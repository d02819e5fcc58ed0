"""fal's own JavaScript client, unchanged, on the documented sticker example."""

from __future__ import annotations

import json
from typing import Any

from recorder.bootstrap import Recorder
from tests.clients.node import needs_node, run_script
from tests.clients.relay import Relay
from tests.clients.seen import STICKER, STICKER_TYPES, recorded_payloads, step_states

pytestmark = needs_node


def stream_with_js(relay: Relay, arguments: dict[str, Any]) -> Any:
    url = f"{relay.url}/{STICKER}/stream"
    return run_script("stream.mjs", url, STICKER, json.dumps(arguments))


def test_what_the_js_client_saw_is_what_was_recorded(rec: Recorder, relay: Relay) -> None:
    seen = stream_with_js(relay, {"prompt": "a cute puppy", "seed": 6252023})
    [request_id] = relay.request_ids
    assert [event["type"] for event in seen["events"]] == STICKER_TYPES
    assert recorded_payloads(rec, request_id) == seen["events"]
    assert seen["done"] == seen["events"][-1]
    assert rec.run(request_id).status == "completed"


def test_a_failing_step_is_seen_and_recorded_alike(rec: Recorder, relay: Relay) -> None:
    seen = stream_with_js(relay, {"prompt": "a cute puppy", "num_images": 9})
    [request_id] = relay.request_ids
    assert recorded_payloads(rec, request_id) == seen["events"]
    assert step_states(rec, request_id) == [("stable_diffusion_xl", "failed")]
