"""What a client saw, against what was recorded."""

from __future__ import annotations

import json
from typing import Any

from recorder.bootstrap import Recorder
from recorder.projections.runs import Run

STICKER = "workflows/fal-ai/sdxl-sticker"
STICKER_NODES = ["stable_diffusion_xl", "rembg", "face_to_sticker"]
STICKER_TYPES = ["submit", "completion"] * 3 + ["output"]


def recorded_payloads(rec: Recorder, request_id: str) -> list[Any]:
    """The payloads of the run's events from upstream, in order."""
    return [
        json.loads(logged.payload or b"null")
        for logged in rec.events(request_id)
        if logged.type not in ("opened", "closed")
    ]


def step_states(run: Run) -> list[tuple[str, str]]:
    """Node and status of the run's steps, in the order they came up."""
    return [(step.node_id, step.status) for step in run.ordered_steps()]
