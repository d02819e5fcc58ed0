"""Listing and showing runs."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import msgspec
import pytest

from api.models import RunModel, RunPageModel
from recorder import writer as writing
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.api.asserts import problem, wrong_fields
from tests.builders import (
    WORKFLOW,
    completion,
    error,
    frame,
    history,
    one_step_run,
    opened,
    output,
    submit,
)

RUNS = "/api/v1/runs"


def listed(http: httpx.Client, **parameters: str | int) -> list[str]:
    """The ids of a page of runs."""
    response = http.get(RUNS, params=parameters)
    assert response.status_code == 200, response.text
    page = RunPageModel.model_validate(response.json())
    return [run.request_id for run in page.runs]


def shifted(events: list[NewEvent], us: int) -> list[NewEvent]:
    """The same run, later."""
    return [msgspec.structs.replace(event, received_at=event.received_at + us) for event in events]


def test_a_run_is_shown_at_once_though_the_writer_rests_before_it_takes_what_was_recorded(
    http: httpx.Client, sqlite_rec: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "REST_S", 1_000)
    for name in ("run-1", "run-2"):  # the second while it rests after the first
        recording = sqlite_rec.new_recording()
        recording.open(opened(name))
        recording.take(output())
        recording.close("eof")
        assert http.get(f"{RUNS}/{name}").json()["status"] == "completed"


def test_a_run_is_shown_whole(http: httpx.Client, sqlite_rec: Recorder) -> None:
    body = {"detail": [{"loc": ["body", "seed"], "limit": 18446744073709551617}]}
    frames = (
        submit("a", step="step-1"),
        completion("a", inference_s=0.03, app_id=None),
        submit("b"),
        error("b", message="it broke", status=422, body=body),
    )
    sqlite_rec.log.append(history("run-1", *frames))
    failure = {"message": "it broke", "status": 422, "body": body}
    assert http.get(f"{RUNS}/run-1").json() == {
        "request_id": "run-1",
        "workflow": WORKFLOW,
        "status": "failed",
        "source": "http",
        "mode": "stream",
        "opened_at": "2023-11-14T22:13:20.000000Z",
        "closed_at": "2023-11-14T22:13:20.500000Z",
        "duration_us": 500_000,
        "events": 6,
        "steps": [
            {
                "node_id": "a",
                "attempt": 1,
                "app_id": "fal-ai/app",
                "step_request_id": "step-1",
                "status": "completed",
                "submitted_us": 100_000,
                "finished_us": 200_000,
                "duration_us": 100_000,
                "inference_us": 30_000,
                "overhead_us": 70_000,
                "error": None,
            },
            {
                "node_id": "b",
                "attempt": 1,
                "app_id": "fal-ai/app",
                "step_request_id": None,
                "status": "failed",
                "submitted_us": 300_000,
                "finished_us": 400_000,
                "duration_us": 100_000,
                "inference_us": None,
                "overhead_us": None,
                "error": failure,
            },
        ],
        "anomalies": {},
        "error": failure,
        "as_of_position": 6,
        "first_event_us": 100_000,
        "close_reason": "eof",
        "queue": None,
        "definition": None,
        "input_digest": None,
        "parent": None,
    }


def test_the_body_of_an_error_is_json_where_it_is_and_else_its_text(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    deep = "[" * 300 + "]" * 300
    bodies = {
        '{"status": 500, "body": "plain text"}': "plain text",
        '{"status": 500, "body": NaN}': "NaN",
        '{"status": 500, "body": "\\ud800"}': '"\\ud800"',
        '{"status": 500, "body": null}': None,
        '{"status": 500}': {"status": 500},
        "1e999": "1e999",
        f'{{"body": {deep}}}': deep,
    }
    for number, text in enumerate(bodies):
        raw = f'{{"type": "error", "error": {text}}}'
        sqlite_rec.log.append(history(f"run-{number}", frame(raw)))
    found = [http.get(f"{RUNS}/run-{n}").json()["error"]["body"] for n in range(len(bodies))]
    assert found == list(bodies.values())


def test_a_message_that_utf8_cannot_hold_is_readable(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(history("run", frame('{"type": "error", "message": "\\ud800 é"}')))
    assert http.get(f"{RUNS}/run").json()["error"]["message"] == "\N{REPLACEMENT CHARACTER} é"


def test_any_id_finds_its_run(http_on_both: httpx.Client, rec: Recorder) -> None:
    ids = ["a/b", "a/events", "a/body", "a b?c#d", "%2F", "ünï", "..", "a%00b", "/", "~2", "nul\0"]
    for request_id in ids:
        list(rec.record([output(request_id)], workflow=WORKFLOW, request_id=request_id))
    rec.writer.close()
    for request_id in ids:
        path = f"{RUNS}/{quote(request_id, safe='')}".replace("/..", "/%2E%2E")
        shown = http_on_both.get(path)
        assert shown.status_code == 200, shown.text
        assert http_on_both.get(f"{path}/body").content == output(request_id)
        assert len(http_on_both.get(f"{path}/events").json()["events"]) == 3
        assert listed(http_on_both, request_id=request_id) == [shown.json()["request_id"]]


def test_an_unknown_run_is_not_found(http: httpx.Client) -> None:
    for path in ("a%20b", "a%20b/events", "a%20b/body", "a%20b/events?after=5"):
        document = problem(http.get(f"{RUNS}/{path}"), 404, "run-not-found")
        assert document["detail"] == "no run a b"
        assert document["instance"] == f"{RUNS}/{path.partition('?')[0]}"


def test_pages_follow_one_another_without_gap_or_overlap(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    ids = [f"run-{number}" for number in range(5)]
    for request_id in ids:
        sqlite_rec.log.append(one_step_run(request_id))
    found: list[str] = []
    page = http.get(RUNS, params={"limit": 2}).json()
    assert page["as_of_position"] == 25
    while page["next_cursor"] is not None:
        found += [run["request_id"] for run in page["runs"]]
        page = http.get(RUNS, params={"limit": 2, "cursor": page["next_cursor"]}).json()
    found += [run["request_id"] for run in page["runs"]]
    assert found == ids[::-1]


def test_an_empty_log_has_an_empty_page(http: httpx.Client) -> None:
    page = http.get(RUNS).json()
    assert page == {"runs": [], "next_cursor": None, "as_of_position": 0}


def test_every_filter_narrows(http: httpx.Client, sqlite_rec: Recorder) -> None:
    other = opened("b", workflow="workflows/o/other")
    frames = (submit("x", app_id="fal-ai/rare", step="step-b"), frame("[DONE]"))
    sqlite_rec.log.append(one_step_run("a"))
    sqlite_rec.log.append(shifted(history("b", *frames, document=other), 60_000_000))
    assert listed(http) == ["b", "a"]
    assert listed(http, workflow="workflows/o/other") == ["b"]
    assert listed(http, app="fal-ai/rare") == ["b"]
    assert listed(http, status="completed") == ["a"]
    assert listed(http, request_id="a") == ["a"]
    assert listed(http, request_id="step-b") == ["b"]
    assert listed(http, anomaly="done_marker") == ["b"]
    assert listed(http, since="2023-11-14T22:14:20Z") == ["b"]
    assert listed(http, since="2023-11-14T22:14:20.000001Z") == []
    assert listed(http, until="2023-11-14T23:14:20+01:00") == ["a"]
    assert listed(http, status="completed", app="fal-ai/rare") == []


def test_a_window_that_ends_before_it_begins_is_refused_and_one_without_length_is_empty(
    http: httpx.Client,
) -> None:
    early, late = "2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z"
    assert listed(http, since=early, until=early) == []
    response = http.get("/api/v1/runs", params={"since": late, "until": early})
    assert wrong_fields(response) == ["since"]


def test_a_parameter_that_makes_no_sense_is_named(http: httpx.Client) -> None:
    queries = [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        f"limit={'9' * 5000}",
        "since=yesterday",
        "since=1700000000",
        "since=2025-01-31",
        "since=2025-01-31T12:00:00",
        "since=2025-01-31T12:00:00+01:00",
        "until=2025-02-30T12:00:00Z",
        "until=2025-01-31T25:00:00Z",
        "status=done",
        "status=%00",
        "anomaly=%00",
        "anomaly=%25",
        "cursor=",
        "cursor=abc",
        "cursor=%ff",
        "cursor=YmVmb3JlOjA",
        "cursor=YmVmb3JlOjk5OTk5OTk5OTk5OTk5OTk5OTk5",
        "cursor=YmVmb3JlOsK5",
        "workfow=x",
    ]
    named = {query: wrong_fields(http.get(f"{RUNS}?{query}")) for query in queries}
    assert named == {query: [query.partition("=")[0]] for query in queries}


def test_the_command_line_prints_what_the_api_answers(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    shown = RunModel.of(sqlite_rec.run("run")).model_dump(mode="json")
    assert http.get(f"{RUNS}/run").json() == shown
