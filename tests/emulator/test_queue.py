"""The queue over HTTP: waiting, running, ending, and what is told about it."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from tests.emulator.builders import STICKER, fault_header, slow
from tests.emulator.queueing import (
    HOLDING,
    QUEUE,
    SMALL,
    follow,
    hold_a_runner,
    queue_of,
    statuses,
    submit,
)

NO_SUCH_ID = "00000000-0000-4000-8000-000000000000"


def urls(client: httpx.Client, request_id: str, path: str = QUEUE) -> dict[str, str]:
    response_url = f"{str(client.base_url).rstrip('/')}{path}/requests/{request_id}"
    return {
        "response_url": response_url,
        "status_url": f"{response_url}/status",
        "cancel_url": f"{response_url}/cancel",
    }


def test_submitting_answers_where_to_ask_for_the_request() -> None:
    with queue_of(runners=1) as client:
        held, waiting, last = hold_a_runner(client), submit(client), submit(client)
        common = {"status": "IN_QUEUE"}
        assert [held, waiting, last] == [
            common
            | {"request_id": held["request_id"], "queue_position": 0}
            | urls(client, held["request_id"], HOLDING),
            common
            | {"request_id": waiting["request_id"], "queue_position": 0}
            | urls(client, waiting["request_id"]),
            common
            | {"request_id": last["request_id"], "queue_position": 1}
            | urls(client, last["request_id"]),
        ]


def test_the_status_is_202_before_the_end_and_200_after_it() -> None:
    with queue_of(runners=1) as client:
        held, waiting = hold_a_runner(client), submit(client)
        told = [client.get(reply["status_url"]) for reply in (held, waiting)]
        client.put(held["cancel_url"])
        follow(client, waiting)
        told.append(client.get(waiting["status_url"]))
        held_id, id_ = held["request_id"], waiting["request_id"]
        metrics = told[2].json()["metrics"]
        assert [(answer.status_code, answer.json()) for answer in told] == [
            (
                202,
                {"status": "IN_PROGRESS", "request_id": held_id, "logs": None}
                | urls(client, held_id, HOLDING),
            ),
            (
                202,
                {"status": "IN_QUEUE", "request_id": id_, "queue_position": 0} | urls(client, id_),
            ),
            (
                200,
                {"status": "COMPLETED", "request_id": id_, "logs": None, "metrics": metrics}
                | urls(client, id_),
            ),
        ]
        assert 0 < metrics["inference_time"] < 30


def test_the_result_is_what_a_plain_call_answers(client: httpx.Client) -> None:
    reply = submit(client)
    follow(client, reply)
    answer = client.get(reply["response_url"])
    assert (answer.status_code, answer.json()) == (200, client.post(STICKER, json=SMALL).json())
    assert client.get(f"{reply['response_url']}/response").json() == answer.json()


def test_a_result_asked_for_too_early_is_still_in_progress() -> None:
    with queue_of(runners=1) as client:
        for reply in (hold_a_runner(client), submit(client)):
            answer = client.get(reply["response_url"])
            assert (answer.status_code, answer.json()) == (
                400,
                {"detail": "Request is still in progress"},
            )


def test_the_status_stream_tells_every_change_and_ends_after_the_last() -> None:
    with queue_of(runners=1) as client:
        held = [hold_a_runner(client), hold_a_runner(client)]
        reply = submit(client)
        with client.stream("GET", f"{reply['status_url']}/stream") as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            events = statuses(response)
            told = [next(events)]
            client.put(held[0]["cancel_url"])
            told.append(next(events))
            client.put(held[1]["cancel_url"])
            told.extend(events)
        assert [(status["status"], status.get("queue_position")) for status in told] == [
            ("IN_QUEUE", 1),
            ("IN_QUEUE", 0),
            ("IN_PROGRESS", None),
            ("COMPLETED", None),
        ]
        assert told[-1] == client.get(reply["status_url"]).json()


def test_logs_come_once_in_the_stream_and_whole_in_the_status(client: httpx.Client) -> None:
    reply = submit(client)
    streamed = [log for status in follow(client, reply, logs="1") for log in status.get("logs", [])]
    whole = client.get(reply["status_url"], params={"logs": "true"}).json()["logs"]
    assert streamed == whole
    assert [{**log, "message": re.sub(r"[0-9a-f-]{36}", "…", log["message"])} for log in whole] == [
        {"message": message, "level": "INFO", "source": "USER", "timestamp": log["timestamp"]}
        for log, message in zip(
            whole,
            [
                "stable_diffusion_xl: submitted to fal-ai/fast-sdxl as …",
                "stable_diffusion_xl: completed",
                "rembg: submitted to fal-ai/imageutils/rembg as …",
                "rembg: completed",
                "face_to_sticker: submitted to fal-ai/face-to-sticker as …",
                "face_to_sticker: completed",
                "the workflow is done",
            ],
            strict=True,
        )
    ]
    times = [datetime.fromisoformat(log["timestamp"]) for log in whole]
    assert times == sorted(times)
    assert {time.tzinfo for time in times} == {UTC}


def test_a_failing_step_completes_and_only_the_result_tells_its_answer(
    client: httpx.Client,
) -> None:
    too_many = SMALL | {"num_images": 9}
    reply = submit(client, too_many)
    last = follow(client, reply, logs="1")[-1]
    assert (last["status"], last["error"], last["logs"][-1]["level"]) == (
        "COMPLETED",
        "Invalid status code: 422",
        "ERROR",
    )
    assert "error_type" not in last
    result, plain = client.get(reply["response_url"]), client.post(STICKER, json=too_many)
    assert (result.status_code, result.json()) == (422, plain.json())


@pytest.mark.parametrize("body", [b"{}", b"{", b"[]", b'{"prompt": 1}'])
def test_an_input_that_does_not_do_fails_as_a_run(client: httpx.Client, body: bytes) -> None:
    submitted = client.post(QUEUE, content=body)
    assert submitted.status_code == 200
    assert follow(client, submitted.json())[-1]["status"] == "COMPLETED"
    result, plain = client.get(submitted.json()["response_url"]), client.post(STICKER, content=body)
    assert (result.status_code, result.json()) == (422, plain.json())


@pytest.mark.parametrize("waiting", [True, False])
def test_a_cancelled_request_ends_and_makes_room(waiting: bool) -> None:
    with queue_of(runners=1) as client:
        replies = [hold_a_runner(client), hold_a_runner(client)]
        reply = replies[waiting]
        answer = client.put(reply["cancel_url"])
        assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
        last = follow(client, reply)[-1]
        assert (last["status"], last["error"], last["error_type"]) == (
            "COMPLETED",
            "Invalid status code: 499",
            "client_cancelled",
        )
        assert (last["metrics"]["inference_time"] is None) == waiting
        result = client.get(reply["response_url"])
        assert (result.status_code, result.json()) == (
            499,
            {"detail": "Request was cancelled", "error_type": "client_cancelled"},
        )
        assert result.headers["x-fal-error-type"] == "client_cancelled"
        again = client.put(reply["cancel_url"])
        assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})
        other = replies[not waiting]
        assert client.get(other["status_url"]).json()["status"] == "IN_PROGRESS"


def test_an_ended_request_cannot_be_cancelled(client: httpx.Client) -> None:
    reply = submit(client)
    follow(client, reply)
    answer = client.put(reply["cancel_url"])
    assert (answer.status_code, answer.json()) == (400, {"status": "ALREADY_COMPLETED"})
    assert client.get(reply["response_url"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "suffix"),
    [
        ("GET", ""),
        ("GET", "/response"),
        ("GET", "/status"),
        ("GET", "/status/stream"),
        ("PUT", "/cancel"),
    ],
)
def test_an_unknown_request_is_not_found(client: httpx.Client, method: str, suffix: str) -> None:
    known = submit(client)["request_id"]
    paths = [f"{QUEUE}/requests/{NO_SUCH_ID}", f"/queue/workflows/me/other/requests/{known}"]
    for path in paths:
        answer = client.request(method, f"{path}{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"status": "NOT_FOUND"})


def test_a_request_is_also_found_below_a_shortened_application(client: httpx.Client) -> None:
    reply = submit(client)
    follow(client, reply)
    found = [
        client.get(f"/queue/{application}/requests/{reply['request_id']}/status").status_code
        for application in ("workflows/fal-ai/sdxl-sticker", "workflows/fal-ai", "workflows/fal")
    ]
    assert found == [200, 200, 404]


def test_every_answer_about_a_request_carries_its_id() -> None:
    with queue_of(runners=1) as client:
        submitted = client.post(HOLDING, json={}, headers=fault_header(apps=slow(600)))
        reply = submitted.json()
        answers = [
            submitted,
            client.get(reply["status_url"]),
            client.get(reply["response_url"]),
            client.put(reply["cancel_url"]),
            client.get(f"{reply['status_url']}/stream"),
        ]
        ids = {answer.headers["x-fal-request-id"] for answer in answers}
        assert ids == {reply["request_id"]}


def test_as_many_requests_run_at_once_as_there_are_runners() -> None:
    with queue_of(runners=3) as client:
        replies = [hold_a_runner(client) for _ in range(4)]
        told = [client.get(reply["status_url"]).json()["status"] for reply in replies]
    assert told == ["IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE"]


@pytest.mark.parametrize(
    ("limits", "found"),
    [({"kept_results": 2}, [404, 200, 200]), ({"kept_bytes": 1}, [404, 404, 200])],
)
def test_the_oldest_results_are_dropped(limits: dict[str, int], found: list[int]) -> None:
    with queue_of(runners=1, **limits) as client:
        replies = [submit(client) for _ in range(3)]
        follow(client, replies[-1])
        answers = [client.get(reply["response_url"]).status_code for reply in replies]
    assert answers == found


def test_a_status_asked_for_in_place_of_the_run_refuses_the_request(client: httpx.Client) -> None:
    headers = fault_header(stream={"http_status": 503})
    answer = client.post(QUEUE, json=SMALL, headers=headers)
    assert (answer.status_code, answer.json()) == (503, {"detail": "Service Unavailable"})


@pytest.mark.parametrize("stream", [{"cut_after_events": 0}, {"cut_after_events": 1}])
def test_a_cut_loses_the_runner(client: httpx.Client, stream: dict[str, Any]) -> None:
    reply = submit(client, stream=stream)
    last = follow(client, reply)[-1]
    assert (last["error"], last["error_type"]) == (
        "Invalid status code: 503",
        "runner_disconnected",
    )
    result = client.get(reply["response_url"])
    assert (result.status_code, result.json()) == (
        503,
        {"detail": "Runner disconnected", "error_type": "runner_disconnected"},
    )
    assert result.headers["x-fal-error-type"] == "runner_disconnected"


def test_a_stall_delays_the_run_and_loses_nothing(client: httpx.Client) -> None:
    reply = submit(client, stream={"stall_after_events": 1, "stall_s": 0.05})
    metrics = follow(client, reply)[-1]["metrics"]
    assert metrics["inference_time"] >= 0.05
    assert client.get(reply["response_url"]).status_code == 200


def test_the_faults_of_apps_work_in_the_queue(client: httpx.Client) -> None:
    failing = {"error_rate": 1, "error_status": 504, "error_body": "timed out"}
    reply = submit(client, apps={"*": failing})
    follow(client, reply)
    result = client.get(reply["response_url"])
    assert (result.status_code, result.json()) == (504, "timed out")


def test_what_cannot_be_submitted_is_refused(client: httpx.Client) -> None:
    unknown = client.post("/queue/workflows/a/b", json={})
    assert (unknown.status_code, unknown.json()) == (
        404,
        {"detail": "Workflow 'workflows/a/b' not found"},
    )
    wrong = client.post(QUEUE, json=SMALL, headers={"x-emulator-fault": "{"})
    assert wrong.status_code == 422
    with EmulatorServer(EmulatorSettings(max_body_bytes=100)) as server:
        answer = httpx.post(f"{server.queue_url}{STICKER}", content=b" " * 2_000_000)
    assert answer.status_code == 413


def test_the_queue_can_be_a_host_of_its_own() -> None:
    with (
        EmulatorServer(EmulatorSettings(queue_only=True)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert server.queue_url == server.url
        reply = submit(client, path=STICKER)
        assert reply["response_url"] == f"{server.url}{STICKER}/requests/{reply['request_id']}"
        follow(client, reply)
        picture = client.get(reply["response_url"]).json()["images"][0]["url"]
        assert client.get(picture).status_code == 200
        assert client.post(f"{STICKER}/stream", json=SMALL).status_code == 404
        listed = client.get("/").json()["workflows"][-1]
        assert {name: url for name, url in listed.items() if name.endswith("url")} == {
            "queue_url": f"{server.url}{STICKER}"
        }


def test_stopping_ends_queued_runs_and_breaks_status_streams() -> None:
    before = threading.active_count()
    with EmulatorServer() as server, httpx.Client(base_url=server.url) as client:
        replies = [submit(client, SMALL, apps=slow(600)) for _ in range(4)]
        with client.stream("GET", f"{replies[-1]['status_url']}/stream") as response:
            events = statuses(response)
            assert next(events)["queue_position"] == 1
            server.__exit__(None, None, None)
            with pytest.raises(httpx.TransportError):
                next(events)
    assert threading.active_count() == before
