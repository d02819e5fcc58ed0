"""Examples for the API's documentation. A test holds them against the models."""

from __future__ import annotations

from typing import Any, Final

REQUEST_ID: Final = "d778bdf4-0275-47c2-9f23-16c27041cbeb"
INSTANCE: Final = "5b0e3c1e-6a52-4f0f-9a0b-0d6f5d0c7f11"

STEP: Final[dict[str, Any]] = {
    "node_id": "stable_diffusion_xl",
    "attempt": 1,
    "app_id": "fal-ai/fast-sdxl",
    "step_request_id": "0bdbbb04-a08d-4ab2-a171-25aae8e2b2f8",
    "status": "completed",
    "submitted_us": 120_417,
    "finished_us": 2_901_220,
    "duration_us": 2_780_803,
    "inference_us": 2_173_300,
    "overhead_us": 607_503,
    "error": None,
}
RUN: Final[dict[str, Any]] = {
    "request_id": REQUEST_ID,
    "workflow": "workflows/fal-ai/sdxl-sticker",
    "status": "completed",
    "source": "http",
    "mode": "stream",
    "opened_at": "2025-01-31T12:00:00.000000Z",
    "closed_at": "2025-01-31T12:00:03.100550Z",
    "duration_us": 3_100_550,
    "events": 5,
    "steps": [STEP],
    "anomalies": {},
    "error": None,
    "as_of_position": 1205,
    "first_event_us": 120_417,
    "close_reason": "eof",
    "queue": None,
    "definition": None,
    "input_digest": "9c3f4a1f0d0d4a3ab4b4a4c2f6c1f2bb0c7a4a83ab9d3b7a2f7be0b2cbd1b1d6",
    "parent": None,
}
COMPARISON: Final[dict[str, Any]] = {
    "a": {
        "request_id": REQUEST_ID,
        "workflow": "workflows/fal-ai/sdxl-sticker",
        "status": "completed",
        "duration_us": 3_100_550,
        "error": None,
    },
    "b": {
        "request_id": "7f0f5a4e-4d3c-4f7e-9a57-0a0a3f6a1b52",
        "workflow": "workflows/fal-ai/sdxl-sticker",
        "status": "completed",
        "duration_us": 4_226_017,
        "error": None,
    },
    "same_outcome": True,
    "duration_delta_us": 1_125_467,
    "input": {
        "changes": [
            {
                "path": "/prompt",
                "kind": "changed",
                "old": "a cute puppy",
                "new": "a cute kitten",
                "cut": False,
            }
        ],
        "left_out": 0,
    },
    "output": {"changes": [], "left_out": 0},
    "steps": [
        {
            "node_id": "stable_diffusion_xl",
            "attempt": 1,
            "a": STEP,
            "b": STEP
            | {
                "step_request_id": "a4a1f7c2-7a0e-4bb5-a5a0-0f6b2c1de0a1",
                "finished_us": 4_021_220,
                "duration_us": 3_900_803,
                "inference_us": 3_104_000,
                "overhead_us": 796_803,
            },
            "duration_delta_us": 1_120_000,
            "inference_delta_us": 930_700,
            "output": {
                "changes": [
                    {
                        "path": "/seed",
                        "kind": "changed",
                        "old": 6252023,
                        "new": 6252024,
                        "cut": False,
                    }
                ],
                "left_out": 0,
            },
        }
    ],
}
RUNNING: Final[dict[str, Any]] = RUN | {
    "status": "running",
    "closed_at": None,
    "duration_us": None,
    "events": 1,
    "steps": [],
    "as_of_position": 1201,
    "first_event_us": None,
    "close_reason": None,
}
RUN_PAGE: Final[dict[str, Any]] = {
    "runs": [RUN],
    "next_cursor": "YmVmb3JlOjEyMDE",
    "as_of_position": 1205,
}
EVENT_PAGE: Final[dict[str, Any]] = {
    "request_id": REQUEST_ID,
    "events": [
        {
            "position": 1202,
            "seq": 1,
            "type": "submit",
            "node_id": "stable_diffusion_xl",
            "app_id": "fal-ai/fast-sdxl",
            "step_request_id": "0bdbbb04-a08d-4ab2-a171-25aae8e2b2f8",
            "received_at": "2025-01-31T12:00:00.120417Z",
            "elapsed_us": 120_417,
            "payload": {
                "type": "submit",
                "node_id": "stable_diffusion_xl",
                "app_id": "fal-ai/fast-sdxl",
                "request_id": "0bdbbb04-a08d-4ab2-a171-25aae8e2b2f8",
            },
            "erased": False,
        },
    ],
    "next_after": 1,
}
BODY: Final = 'data: {"type": "output", "output": {"images": []}}\r\n\r\n'
REPLAY: Final = 'id: 1\ndata: {"type": "submit", "node_id": "stable_diffusion_xl"}\n\n'
FOLLOWING: Final = (
    "id: 1202\nevent: submit\n"
    f'data: {{"position":1202,"seq":1,"type":"submit","request_id":"{REQUEST_ID}"}}\n\n'
)
START: Final[dict[str, Any]] = {
    "workflow": "workflows/fal-ai/sdxl-sticker",
    "input": {"prompt": "a cute puppy", "seed": 6252023},
    "wait": False,
}
DEFINITION: Final[dict[str, Any]] = {
    "nodes": {
        "stable_diffusion_xl": {
            "app": "fal-ai/fast-sdxl",
            "depends": ["input"],
            "id": "stable_diffusion_xl",
            "input": {"prompt": "$input.prompt"},
            "type": "run",
        },
    },
    "output": {"images": "$stable_diffusion_xl.images"},
}
REPORT: Final[dict[str, Any]] = {
    "request_id": REQUEST_ID,
    "gateway_request_id": REQUEST_ID,
    "status": "OK",
    "payload": {"images": [{"url": "https://fal.media/result.jpeg"}]},
    "error": None,
    "payload_error": None,
}
WEBHOOK: Final[dict[str, Any]] = {"request_id": REQUEST_ID}
EVENT_LINE: Final[dict[str, Any]] = {
    "seq": 1,
    "type": "submit",
    "received_at": "2025-01-31T12:00:00.120417Z",
    "elapsed_us": 120_417,
    "frame": 'data: {"type": "submit", "node_id": "stable_diffusion_xl"}\r\n\r\n',
}
ADDRESSED_EVENT_LINE: Final[dict[str, Any]] = {"request_id": REQUEST_ID} | EVENT_LINE
_RECEIPT: Final[dict[str, Any]] = {
    "position": 1202,
    "chain": "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
}
RECEIPTS: Final[dict[str, Any]] = {
    "request_id": REQUEST_ID,
    "receipts": [{"seq": 1, **_RECEIPT}],
    "next_seq": 2,
}
OUTCOMES: Final[dict[str, Any]] = {
    "outcomes": [_RECEIPT, {"problem": "sequence-conflict", "next_seq": 2}]
}
SIGN_OF_LIFE: Final[dict[str, Any]] = {"instance": INSTANCE, "lease_s": 10.0}

_MEASURE: Final[dict[str, Any]] = {
    "count": 412,
    "p50_us": 2_780_803.0,
    "p90_us": 3_402_118.3,
    "p95_us": 3_911_702.5,
    "p99_us": 5_230_004.12,
    "max_us": 7_004_311,
}
LATENCY: Final[dict[str, Any]] = {
    "by": ["workflow", "node", "app"],
    "steps": [
        {
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "node": "stable_diffusion_xl",
            "app": "fal-ai/fast-sdxl",
            "completed": 412,
            "failed": 3,
            "unfinished": 1,
            "running": 0,
            "duration": _MEASURE,
            "inference": _MEASURE,
            "overhead": _MEASURE,
        }
    ],
    "runs": [
        {
            "workflow": "workflows/fal-ai/sdxl-sticker",
            "completed": 411,
            "failed": 3,
            "interrupted": 1,
            "cancelled": 1,
            "running": 0,
            "duration": _MEASURE,
            "first_event": _MEASURE,
        }
    ],
    "as_of_position": 2101,
}
HEALTH: Final[dict[str, Any]] = {
    "status": "ok",
    "log_position": 1205,
    "projection_position": 1205,
    "lag_events": 0,
    "projection_failure": None,
    "columns_position": 1180,
    "columns_failure": None,
}
INDEX: Final[dict[str, Any]] = {
    "name": "fal flight recorder",
    "version": "0.1.0",
    "links": {"runs": "/api/v1/runs"},
}
RERUN: Final[dict[str, Any]] = {"set": {"prompt": "a cute kitten"}, "wait": False}
IMPORTS: Final[dict[str, Any]] = {"imported": [{"request_id": REQUEST_ID, "events": 9, "added": 9}]}

SQL: Final[dict[str, Any]] = {
    "sql": "SELECT status, count(*) AS runs FROM runs WHERE workflow = $workflow GROUP BY ALL",
    "parameters": {"workflow": "workflows/fal-ai/sdxl-sticker"},
    "format": "json",
    "limits": {"time_s": 10},
}
SQL_ANSWER: Final[dict[str, Any]] = {
    "columns": [{"name": "status", "type": "VARCHAR"}, {"name": "runs", "type": "BIGINT"}],
    "rows": [["completed", 412], ["failed", 3]],
    "row_count": 2,
    "truncated": False,
    "as_of_position": 3691,
    "elapsed_us": 41873,
}

METRICS: Final = """# HELP recorder_events_total Events in the log, its last position.
# TYPE recorder_events_total counter
recorder_events_total 52901
"""
