"""Examples of the answers to questions about many runs. A test holds them against the models."""

from __future__ import annotations

from typing import Any, Final

_WORKFLOW: Final = "workflows/fal-ai/sdxl-sticker"
_NODE: Final = "stable_diffusion_xl"
_APP: Final = "fal-ai/fast-sdxl"
_RUN: Final = "d778bdf4-0275-47c2-9f23-16c27041cbeb"
_DAY: Final = "2025-01-31T00:00:00.000000Z"
_HOUR: Final = "2025-01-31T12:00:00.000000Z"
_LATER: Final = "2025-01-31T12:40:11.904113Z"
_PERCENTILE: Final[dict[str, Any]] = {
    "n": 412,
    "mean_us": 2_911_480.114,
    "max_us": 7_004_311,
    "percentile": 95.0,
    "value_us": 3_911_702.5,
    "low_us": 3_702_411,
    "high_us": 4_280_006,
}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"rows": [row], "as_of_position": 2101}


_GROUP: Final[dict[str, Any]] = {
    "workflow": _WORKFLOW,
    "node": _NODE,
    "app": _APP,
    "status": None,
    "definition": None,
    "bucket_at": None,
}
ANALYTICS_LATENCY: Final = _answer(_GROUP | {"measure": "duration"} | _PERCENTILE)
ANALYTICS_FIRST_EVENT: Final = _answer(
    _GROUP | {"node": None, "app": None, "measure": "first_event"} | _PERCENTILE
)
ANALYTICS_THROUGHPUT: Final = _answer(
    {
        "bucket_at": _HOUR,
        "workflow": None,
        "status": None,
        "definition": None,
        "opened": 61,
        "finished": 60,
        "completed": 58,
        "failed": 1,
        "interrupted": 0,
        "cancelled": 1,
    }
)
ANALYTICS_CONCURRENCY: Final = _answer(
    {
        "bucket_at": _HOUR,
        "runs_max": 4,
        "runs_mean": 0.83,
        "steps_max": 6,
        "steps_mean": 1.07,
    }
)
ANALYTICS_LOAD: Final = _answer({"app": _APP, "others_from": 3, "others_to": 4} | _PERCENTILE)
ANALYTICS_ERRORS: Final = _answer(
    {
        "of": "steps",
        "kind": "content_policy_violation",
        "app": _APP,
        "field": "body.prompt",
        "failures": 3,
        "share": 0.0024,
        "share_of_app": 0.0072,
        "runs": 3,
        "first_at": _HOUR,
        "last_at": _LATER,
        "request_id": _RUN,
        "status": 422,
        "message": "The content could not be processed.",
    }
)
ANALYTICS_TIME_SPENT: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "node": _NODE,
        "steps": 411,
        "duration_total_us": 1_142_910_033,
        "duration_p50_us": 2_780_803.0,
        "inference_total_us": 893_226_300,
        "inference_p50_us": 2_173_300.0,
        "overhead_total_us": 249_683_733,
        "overhead_p50_us": 607_503.0,
        "gap_total_us": 49_491_387,
        "gap_p50_us": 120_417.0,
        "share": 0.897,
    }
)
ANALYTICS_CRITICAL_PATH: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "definition": "5f3c" * 16,
        "graph": "definition",
        "node": _NODE,
        "runs": 411,
        "left_out": 1,
        "runs_of_node": 411,
        "on_path": 342,
        "share": 0.832,
        "saved_mean_us": 1_112_800.4,
        "saved_p50_us": 1_390_401.0,
    }
)
ANALYTICS_RUN_PATH: Final = _answer(
    {
        "node": _NODE,
        "attempt": 1,
        "app": _APP,
        "graph": "definition",
        "waited_for": None,
        "gap_us": 120_417,
        "submitted_us": 120_417,
        "finished_us": 2_901_220,
        "duration_us": 2_780_803,
        "critical": True,
        "saved_us": 1_390_402,
    }
)
ANALYTICS_HEATMAP: Final = _answer(
    {"bucket_at": _HOUR, "low_us": 1_584_894, "high_us": 2_511_887, "n": 17}
)
_SLOW: Final[dict[str, Any]] = {
    "request_id": _RUN,
    "workflow": _WORKFLOW,
    "node": None,
    "attempt": None,
    "app": None,
    "status": "completed",
    "opened_at": _HOUR,
    "duration_us": 9_100_550,
    "inference_us": None,
    "overhead_us": None,
    "link": f"/api/v1/runs/{_RUN}",
}
ANALYTICS_SLOWEST: Final = _answer(_SLOW)
ANALYTICS_UNUSUAL: Final = _answer(_SLOW | {"score": 5.42, "typical_us": 3_100_550.0, "n": 411})
ANALYTICS_OUTPUTS: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "node": _NODE,
        "app": _APP,
        "steps": 412,
        "with_images": 412,
        "images": 430,
        "sizes": 2,
        "seeds": 412,
        "flagged": 3,
        "flagged_share": 0.007,
    }
)
ANALYTICS_IMAGE_SIZES: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "node": _NODE,
        "app": _APP,
        "width": 1024,
        "height": 1024,
        "steps": 400,
        "images": 415,
        "share": 0.971,
    }
)
ANALYTICS_REPEATED_INPUTS: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "input_digest": "9c3f4a1f0d0d4a3ab4b4a4c2f6c1f2bb0c7a4a83ab9d3b7a2f7be0b2cbd1b1d6",
        "runs": 7,
        "completed": 6,
        "first_at": _HOUR,
        "last_at": _LATER,
        "request_id": _RUN,
    }
)
ANALYTICS_REPEATED_SEEDS: Final = _answer(
    {
        "workflow": _WORKFLOW,
        "node": _NODE,
        "seed": "6252023",
        "steps": 9,
        "first_at": _HOUR,
        "last_at": _LATER,
        "request_id": _RUN,
    }
)
ANALYTICS_COST: Final = _answer(
    {
        "app": _APP,
        "workflow": None,
        "day": _DAY,
        "request_id": None,
        "steps": 412,
        "cost": "0.991481193",
        "currency": "USD",
        "unpriced_steps": 0,
        "unknown_steps": 2,
    }
)
