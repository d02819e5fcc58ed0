"""fal's own JavaScript client, unchanged, on the documented sticker example."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recorder.bootstrap import Recorder
from tests.clients.relay import Relay
from tests.clients.seen import STICKER, STICKER_TYPES, recorded_payloads, step_states

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (JS / "node_modules/@fal-ai/client").is_dir(),
    reason="needs Node and `npm ci` in tests/clients/js (make test does it where npm is found)",
)


def stream_with_js(relay: Relay, arguments: dict[str, Any]) -> Any:
    assert NODE is not None
    finished = subprocess.run(
        [NODE, "stream.mjs", f"{relay.url}/{STICKER}/stream", STICKER, json.dumps(arguments)],
        cwd=JS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


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
