"""Examples of answers about what got better or worse, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from api import examples

_SIDE: Final[dict[str, Any]] = {
    "workflow": "workflows/fal-ai/sdxl-sticker",
    "node": None,
    "app": None,
    "status": None,
    "definition": None,
    "since": "2025-01-24T00:00:00.000000Z",
    "until": "2025-01-31T00:00:00.000000Z",
}
_WORSE: Final[dict[str, Any]] = {
    "p_value": 0.0000012,
    "adjusted_p_value": 0.0000192,
    "verdict": "worse",
}
_DRIVERS: Final = [
    {
        "request_id": examples.REQUEST_ID,
        "value_us": 7_004_311,
        "href": f"/api/v1/runs/{examples.REQUEST_ID}",
    }
]
_PERCENTILE: Final[dict[str, Any]] = {
    "change_us": 271_400.0,
    "change_percent": 9.76,
    "low_us": 182_100.0,
    "high_us": 361_000.5,
}
COMPARE: Final[dict[str, Any]] = {
    "a": _SIDE | {"since": "2025-01-17T00:00:00.000000Z", "until": "2025-01-24T00:00:00.000000Z"},
    "b": _SIDE,
    "by": ["workflow", "node"],
    "runs": [],
    "steps": [
        {
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "node": "stable_diffusion_xl",
            "app": None,
            "measures": {
                "duration": {
                    "a_count": 2112,
                    "b_count": 2080,
                    "a_runs": 2112,
                    "b_runs": 2080,
                    "verdict": "worse",
                    "percentiles": [
                        _WORSE
                        | {"percentile": 50.0, "a_us": 2_780_803.0, "b_us": 3_052_203.0}
                        | _PERCENTILE
                    ],
                    "shift": _WORSE | {"b_longer": 0.5597},
                    "drivers": _DRIVERS,
                }
            },
            "failures": {
                "p_value": 0.62,
                "adjusted_p_value": 1.0,
                "verdict": "no evidence",
                "a_failed": 11,
                "a_ended": 2123,
                "b_failed": 13,
                "b_ended": 2093,
                "change_points": 0.103,
                "low_points": -0.36,
                "high_points": 0.58,
            },
        }
    ],
    "left_out": 0,
    "tests": 16,
    "error_rate": 0.05,
    "as_of_position": 41_802,
}
CHANGES: Final[dict[str, Any]] = {
    "selection": _SIDE,
    "measure": "duration",
    "changes": [
        _WORSE
        | {
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "node": "stable_diffusion_xl",
            "measure": "duration",
            "at": "2025-01-28T14:02:11.000000Z",
            "since": "2025-01-24T00:00:12.000000Z",
            "until": "2025-01-30T23:59:40.000000Z",
            "before_count": 1301,
            "after_count": 779,
            "after_longer": 0.5581,
            "percentiles": [
                {"percentile": 50.0, "before_us": 2_780_803.0, "after_us": 3_052_203.0}
                | _PERCENTILE
            ],
            "drivers": _DRIVERS,
        }
    ],
    "series": 6,
    "too_short": 1,
    "left_out": 0,
    "error_rate": 0.05,
    "as_of_position": 41_802,
}
_TOTALS: Final[dict[str, Any]] = {
    "runs": 416,
    "completed": 411,
    "failed": 3,
    "interrupted": 1,
    "cancelled": 1,
    "running": 0,
    "success_rate": 0.9904,
    "p50_us": 2_780_803.0,
    "p95_us": 3_911_702.5,
    "first_at": "2025-01-24T00:00:12.000000Z",
    "last_at": "2025-01-30T23:59:40.000000Z",
}
WINDOW_REPORT: Final[dict[str, Any]] = examples.LATENCY | {
    "since": "2025-01-24T00:00:00.000000Z",
    "until": None,
    "summary": [
        "416 runs since 2025-01-24 00:00:00 UTC; 99.0 % succeeded; half took 2.78 s or less, 95 % 3.91 s or less."
    ],
    "totals": _TOTALS,
    "totals_before": None,
    "timeline": {
        "bucket_s": 10_800,
        "buckets": [
            {
                "at": "2025-01-24T00:00:00.000000Z",
                "runs": 12,
                "completed": 12,
                "failed": 0,
                "p50_us": 2_780_803.0,
                "p95_us": 3_911_702.5,
            }
        ],
    },
    "errors": [
        {
            "of": "steps",
            "kind": "image_load_error",
            "app": "fal-ai/imageutils/rembg",
            "field": "body.image_url",
            "failures": 3,
            "share": 0.0072,
            "runs": 3,
            "request_id": examples.REQUEST_ID,
            "href": f"/api/v1/runs/{examples.REQUEST_ID}",
            "message": "Unprocessable Entity",
        }
    ],
    "nodes": [
        {
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "node": "stable_diffusion_xl",
            "steps": 412,
            "duration_us": 1_145_690_836,
            "inference_us": 1_022_110_402,
            "overhead_us": 123_580_434,
            "share": 0.62,
        }
    ],
    "changes": CHANGES,
    "compare": None,
    "slowest": [
        {
            "request_id": examples.REQUEST_ID,
            "href": f"/api/v1/runs/{examples.REQUEST_ID}",
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "status": "completed",
            "duration_us": 7_004_311,
            "opened_at": "2025-01-30T12:00:00.000000Z",
            "node": "stable_diffusion_xl",
            "node_us": 5_230_004,
        }
    ],
}
