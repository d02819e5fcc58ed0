"""Reading what was recorded, as it was received."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from api.models import EventPageModel
from recorder.bootstrap import Recorder
from recorder.events import Closed
from tests.api.asserts import wrong_fields
from tests.builders import (
    WORKFLOW,
    completion,
    frame,
    history,
    new_event,
    one_step_run,
    opened,
    output,
    plain_run,
    submit,
)

EVENTS = "/api/v1/runs/run/events"


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_events_are_shown_with_the_recorders_own(http: httpx.Client, sqlite_rec: Recorder) -> None:
    document = opened("run", input='{"seed": 1}', status=200, response_headers={"a": "b"})
    sqlite_rec.log.append(history("run", submit("a", step="step-1"), document=document))
    page = http.get(EVENTS).json()
    EventPageModel.model_validate(page)
    assert (page["request_id"], page["next_after"]) == ("run", None)
    first, second, third = page["events"]
    assert [first["type"], second["type"], third["type"]] == ["opened", "submit", "closed"]
    assert first["payload"]["input"] == '{"seed": 1}'
    assert (first["payload"]["status"], first["payload"]["response_headers"]) == (200, {"a": "b"})
    assert third["payload"]["reason"] == "eof"
    assert second == {
        "position": 2,
        "seq": 1,
        "type": "submit",
        "node_id": "a",
        "app_id": "fal-ai/app",
        "step_request_id": "step-1",
        "received_at": "2023-11-14T22:13:20.100000Z",
        "elapsed_us": 100_000,
        "payload": {
            "type": "submit",
            "node_id": "a",
            "app_id": "fal-ai/app",
            "request_id": "step-1",
        },
        "erased": False,
    }


STRICT = [
    '{"type": "output",  "output": {"seed": 18446744073709551617, "f": 1.10000000000000000001}}',
    '{ "b" : 1 , "a" : [ ] , "unicode": "é \\u00e9 \\ud83d\\ude00 \\u0000" }',
    '{"a": 1, "a": 2}',
    '"just text"',
    "-0.0E+2",
    "9" * 308,
    '{"deep": ' + "[" * 200 + "]" * 200 + "}",
]
NOT_STRICT = [
    '{"type": "output", "output": NaN}',
    '{"type": "output", "output": [1e400, -1e400]}',
    '{"type": "output", "output": "\\ud800"}',
    '{"type": "output", "output": "\\udc00\\ud83d"}',
    '{"a": 1,}',
    "01",
    "[DONE]",
    '{"cut',
    "",
    "[" * 50_000,
    "9" * 5_000,
    "9" * 309,
    "Infinity",
    "{} {}",
    "\x01",
    '"tab\tinside"',
]


def test_strict_json_passes_through_byte_for_byte(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(history("run", *map(frame, STRICT)))
    response = http.get(EVENTS)
    events = response.json()["events"][1:-1]
    for event, text in zip(events, STRICT, strict=True):
        assert f'"payload":{text}'.encode() in response.content
        assert "payload_text" not in event


def test_what_is_not_strict_json_is_told_as_text_and_bytes(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(history("run", *map(frame, NOT_STRICT)))
    page = json.loads(http.get(EVENTS).content.decode(), parse_constant=refuse)
    EventPageModel.model_validate(page)
    for event, text in zip(page["events"][1:-1], NOT_STRICT, strict=True):
        assert (event["payload"], event["payload_text"]) == (None, text)
        assert base64.b64decode(event["payload_base64"]) == text.encode()


def test_bytes_that_are_not_utf8_do_not_spoil_the_answer(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    raw = b'data: {"type": "output", "output": "\xff\xed\xa0\x80"}\n\n'
    sqlite_rec.log.append(history("run", raw))
    event = http.get(EVENTS, params={"frames": "true"}).json()["events"][1]
    assert event["type"] == "output"
    assert base64.b64decode(event["frame_base64"]) == raw


def test_frames_are_told_only_when_asked_for(http: httpx.Client, sqlite_rec: Recorder) -> None:
    raw = b": a ping\r\n\r\n: another\r\ndata: {}\r\n\r\n"
    sqlite_rec.log.append(history("run", raw))
    assert "frame_base64" not in http.get(EVENTS).json()["events"][1]
    event = http.get(EVENTS, params={"frames": "true"}).json()["events"][1]
    assert base64.b64decode(event["frame_base64"]) == raw


def test_pages_of_events_follow_one_another(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(plain_run("run", 150))
    first = http.get(EVENTS, params={"limit": 100}).json()
    assert [event["seq"] for event in first["events"]] == list(range(100))
    assert first["next_after"] == 99
    second = http.get(EVENTS, params={"limit": 100, "after": 99}).json()
    assert [event["seq"] for event in second["events"]] == list(range(100, 150))
    assert second["next_after"] is None
    beyond = http.get(EVENTS, params={"after": 149}).json()
    assert beyond == {"request_id": "run", "events": [], "next_after": None}


def test_large_events_make_a_page_shorter(http: httpx.Client, sqlite_rec: Recorder) -> None:
    large = output("x" * 600_000)
    sqlite_rec.log.append(history("run", large, large, large))
    page = http.get(EVENTS).json()
    assert ([event["seq"] for event in page["events"]], page["next_after"]) == ([0, 1, 2], 2)
    rest = http.get(EVENTS, params={"after": 2}).json()
    assert ([event["seq"] for event in rest["events"]], rest["next_after"]) == ([3, 4], None)


def test_a_page_that_makes_no_sense_is_refused(http: httpx.Client) -> None:
    queries = ["after=-2", f"after={2**63}", "after=x", "limit=0", "limit=1001", "frames=maybe"]
    named = {query: wrong_fields(http.get(f"{EVENTS}?{query}")) for query in queries}
    assert named == {query: [query.partition("=")[0]] for query in queries}


def test_the_body_is_the_exact_bytes(http: httpx.Client, sqlite_rec: Recorder) -> None:
    body = b"\xef\xbb\xbf: ping\r\n\r\n" + submit("a") + completion("a") + b"data: \xff never en"
    chunks = [body[at : at + 7] for at in range(0, len(body), 7)]
    list(sqlite_rec.record(chunks, workflow=WORKFLOW, request_id="run"))
    sqlite_rec.writer.close()
    response = http.get("/api/v1/runs/run/body")
    assert response.content == body
    headers = response.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="body.sse"'
    assert headers["x-content-type-options"] == "nosniff"


def test_the_body_of_a_run_under_way_is_what_came_so_far(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(history("run", submit("a"), reason=None))
    assert http.get("/api/v1/runs/run/body").content == submit("a")


def test_a_large_body_is_streamed_whole(http: httpx.Client, sqlite_rec: Recorder) -> None:
    frames = [output("x" * 10_000) for _ in range(300)]
    sqlite_rec.log.append(history("run", *frames))
    assert http.get("/api/v1/runs/run/body").content == b"".join(frames)


def test_an_erased_frame_shows_and_cuts_the_body(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    with sqlite_rec.database.writing() as connection:
        connection.exec_driver_sql("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
    event = http.get(EVENTS, params={"frames": "true"}).json()["events"][2]
    assert (event["type"], event["payload"], event["erased"]) == ("completion", None, True)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/api/v1/runs/run/body")


def test_trailing_bytes_of_a_refusal_are_the_body(http: httpx.Client, sqlite_rec: Recorder) -> None:
    refused = Closed(reason="refused", trailing='{"detail": "no"}')
    sqlite_rec.log.append(
        [new_event("run", 0, opened("run", status=422)), new_event("run", 1, refused)]
    )
    assert http.get("/api/v1/runs/run/body").content == b'{"detail": "no"}'
    shown = http.get("/api/v1/runs/run").json()
    assert (shown["status"], shown["error"]["body"]) == ("failed", {"detail": "no"})
