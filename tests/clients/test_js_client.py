"""fal's own JavaScript client, unchanged, on the documented sticker example."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.node import needs_node, run_script
from tests.clients.seen import STICKER, STICKER_TYPES, recorded_payloads, step_states
from tests.proxy.stage import Proxied

pytestmark = needs_node


def stream_with_js(proxied: Proxied, arguments: dict[str, Any]) -> Any:
    url = f"{proxied.url}/{STICKER}/stream"
    return run_script("stream.mjs", url, STICKER, json.dumps(arguments))


def test_what_the_js_client_saw_is_what_was_recorded(proxied: Proxied) -> None:
    seen = stream_with_js(proxied, {"prompt": "a cute puppy", "seed": 6252023})
    run = proxied.run_of(STICKER)
    assert [event["type"] for event in seen["events"]] == STICKER_TYPES
    assert recorded_payloads(proxied.rec, run.request_id) == seen["events"]
    assert seen["done"] == seen["events"][-1]
    assert run.status == "completed"


def test_a_failing_step_is_seen_and_recorded_alike(proxied: Proxied) -> None:
    seen = stream_with_js(proxied, {"prompt": "a cute puppy", "num_images": 9})
    run = proxied.run_of(STICKER)
    assert recorded_payloads(proxied.rec, run.request_id) == seen["events"]
    assert step_states(run) == [("stable_diffusion_xl", "failed")]
