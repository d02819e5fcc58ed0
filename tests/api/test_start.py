"""Starting workflows through the recorder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from pydantic import SecretStr

import recorder
from api.models import RunModel
from api.server import ApiServer
from api.start_body import MAX_BODY_BYTES
from emulator.server import EmulatorServer
from recorder.bootstrap import Recorder
from recorder.settings import Settings
from recorder.store.views import RunFilter
from tests.api.asserts import problem, wrong_fields
from tests.api.conftest import client_of
from tests.api.upstream import CHUNKED, STREAM, Upstream, chunk
from tests.builders import output, submit

RUNS = "/api/v1/runs"
WORKFLOW = "workflows/fal-ai/sdxl-sticker"
JSON = {"content-type": "application/json"}
KEY = "id:not-a-real-key"


@contextmanager
def recording_from(database_url: str, fal_url: str, key: str | None = None) -> Iterator[Recorder]:
    """A recorder that runs the workflows of an endpoint."""
    given = None if key is None else SecretStr(key)
    settings = Settings(database_url=database_url, fal_url=fal_url, fal_key=given)
    with recorder.open(database_url, settings=settings) as rec:
        yield rec


def start(http: httpx.Client, *, wait: bool = False) -> httpx.Response:
    body = {"workflow": WORKFLOW, "input": {"prompt": "a puppy"}, "wait": wait}
    return http.post(RUNS, json=body)


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """The base of an emulator."""
    with EmulatorServer() as server:
        yield server.url


@pytest.fixture
def http(sqlite_url: str, emulator: str) -> Iterator[httpx.Client]:
    """A client of an API whose workflows run at the emulator."""
    with (
        recording_from(sqlite_url, emulator) as rec,
        ApiServer(rec) as server,
        client_of(server) as client,
    ):
        yield client


def test_a_run_waited_for_is_answered_when_it_has_ended(http: httpx.Client) -> None:
    response = start(http, wait=True)
    run = RunModel.model_validate(response.json())
    assert (response.status_code, run.status, run.close_reason) == (200, "completed", "eof")
    assert [step.status for step in run.steps] == ["completed"] * 3
    assert response.headers["location"] == f"{RUNS}/{run.request_id}"
    assert http.get(response.headers["location"]).json() == response.json()


def test_a_refused_run_is_recorded_and_answered(http: httpx.Client) -> None:
    body = {"workflow": "workflows/no/such", "input": {}, "wait": True}
    response = http.post(RUNS, json=body)
    run = RunModel.model_validate(response.json())
    assert (response.status_code, run.status, run.close_reason) == (200, "failed", "refused")
    assert run.error is not None
    assert run.error.message == "upstream answered 404"


def test_a_run_is_answered_once_upstream_has_and_goes_on_without_its_client(
    sqlite_url: str,
) -> None:
    answer = CHUNKED % b"run-1" + chunk(submit("a"))
    rest = chunk(output()) + b"0\r\n\r\n"
    with (
        Upstream(answer, then=rest) as upstream,
        recording_from(sqlite_url, upstream.url) as rec,
    ):
        with ApiServer(rec) as server:
            with client_of(server) as http:
                response = start(http)
                assert (response.status_code, response.json()["status"]) == (202, "running")
                assert response.headers["location"] == f"{RUNS}/run-1"
            upstream.go_on()
        assert rec.run("run-1").status == "completed"


def test_the_input_is_sent_as_it_stands_in_the_body(sqlite_url: str) -> None:
    text = '{ "seed" : 18446744073709551617, "f": 1.10000000000000000001, "é": "\\u00e9" }'
    answer = STREAM % b"run-1" + output()
    with (
        Upstream(answer) as upstream,
        recording_from(sqlite_url, upstream.url, KEY) as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        upstream.go_on()
        body = f'{{"wait": true, "workflow": "{WORKFLOW}", "input":{text}}}'
        assert http.post(RUNS, content=body, headers=JSON).status_code == 200
        events = http.get(f"{RUNS}/run-1/events", params={"frames": "true"}).text
        (request,) = upstream.requests
        assert request.partition(b"\r\n\r\n")[2] == text.encode()
        assert rec.run("run-1").status == "completed"
        assert http.get(f"{RUNS}/run-1/events").json()["events"][0]["payload"]["input"] == text
    assert f"authorization: Key {KEY}".encode() in request
    assert KEY not in events


def test_only_workflow_ids_are_run(http: httpx.Client) -> None:
    targets = [
        "http://127.0.0.1/stream",
        "https://fal.run/workflows/o/n/stream",
        "sdxl-sticker",
        "workflows/",
        "workflows/../queue",
        "workflows/o/n?x=1",
        "workflows/o/n\0",
        "",
    ]
    for target in targets:
        response = http.post(RUNS, json={"workflow": target, "input": {}})
        problem(response, 422, "bad-target")
    assert http.get(RUNS).json()["runs"] == []


def test_a_body_that_makes_no_sense_is_refused_by_field(http: httpx.Client) -> None:
    good = f'"workflow": "{WORKFLOW}"'
    bodies = {
        b"": "body",
        b"[]": "body",
        b"{": "body",
        b"\xff": "body",
        f'{{{good}, "input": NaN}}'.encode(): "body",
        f'{{{good}, "input": {{"a": "'.encode() + b'\xff"}}': "body",
        f'{{{good}, "input": {"[" * 100_000}'.encode(): "body",
        b"{}": "workflow",
        b'{"workflow": 1}': "workflow",
        b'{"input": {}}': "workflow",
        f"{{{good}}}".encode(): "input",
        f'{{{good}, "input": []}}'.encode(): "input",
        f'{{{good}, "input": {{}}, "wait": "yes"}}'.encode(): "wait",
        f'{{{good}, "input": {{}}, "url": "x"}}'.encode(): "url",
    }
    named = {body: wrong_fields(http.post(RUNS, content=body, headers=JSON)) for body in bodies}
    assert named == {body: [field] for body, field in bodies.items()}


def test_a_body_that_says_to_be_something_else_than_json_is_refused(http: httpx.Client) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = http.post(RUNS, content=b"{}", headers={"content-type": content_type})
        problem(response, 415, "not-json")


def test_a_body_beyond_the_limit_is_refused(http: httpx.Client) -> None:
    head = b'{"workflow": "workflows/no/such", "wait": true, "input": {"a": "'
    fits = head + b"x" * (MAX_BODY_BYTES - len(head) - 3) + b'"}}'
    assert len(fits) == MAX_BODY_BYTES
    too_large = problem(http.post(RUNS, content=fits + b" ", headers=JSON), 413, "body-too-large")
    assert too_large["detail"] == "a request body has at most 16777216 bytes"
    in_chunks = (fits[at : at + 65_536] for at in range(0, len(fits) + 1, 65_536))
    assert http.post(RUNS, content=in_chunks, headers=JSON).status_code == 200


def test_an_endpoint_that_does_not_answer_is_a_bad_gateway(sqlite_url: str) -> None:
    with Upstream(b"") as gone:
        pass
    with (
        recording_from(sqlite_url, "http://127.0.0.1:9") as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        document = problem(start(http), 502, "upstream-unreachable")
        assert document["detail"].startswith("http://127.0.0.1:9/workflows/fal-ai/sdxl-sticker")
        assert gone.requests == []
        assert rec.runs().runs == []


def test_without_a_key_nothing_is_sent_to_fal(sqlite_url: str) -> None:
    with (
        recording_from(sqlite_url, "https://fal.run") as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        document = problem(start(http), 503, "missing-key")
        assert "FAL_KEY" in document["detail"]


def test_more_runs_than_allowed_are_told_to_come_back(sqlite_url: str) -> None:
    with (
        Upstream(STREAM % b"run-1") as upstream,
        recording_from(sqlite_url, upstream.url) as rec,
        ApiServer(rec, max_background_runs=1) as server,
        client_of(server) as http,
    ):
        assert start(http).status_code == 202
        refused = start(http)
        problem(refused, 503, "too-many-runs")
        assert refused.headers["retry-after"] == "10"
        upstream.go_on()


def test_waiting_clients_take_no_thread_from_others(sqlite_url: str) -> None:
    waiting = 45  # more than the thread pool has
    with (
        Upstream(STREAM % b"run") as upstream,
        recording_from(sqlite_url, upstream.url) as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        with _all_waiting(server, waiting) as answers:
            while len(rec.runs(limit=100).runs) < waiting:
                assert http.get("/healthz").status_code == 200
            upstream.go_on()
        assert [answer.status_code for answer in answers] == [200] * waiting
        assert len(rec.runs(RunFilter(status="interrupted"), limit=100).runs) == waiting


@contextmanager
def _all_waiting(server: ApiServer, number: int) -> Iterator[list[httpx.Response]]:
    from concurrent.futures import ThreadPoolExecutor

    answers: list[httpx.Response] = []
    with client_of(server) as http, ThreadPoolExecutor(number) as pool:
        asked = [pool.submit(start, http, wait=True) for _ in range(number)]
        yield answers
        answers += [each.result() for each in asked]


def test_a_run_is_broken_off_and_closed_when_the_service_ends(sqlite_url: str) -> None:
    for answer in (STREAM % b"until-close", CHUNKED % b"chunked"):
        with Upstream(answer) as upstream, recording_from(sqlite_url, upstream.url) as rec:
            with ApiServer(rec, grace_s=0) as server, client_of(server) as http:
                request_id = start(http).json()["request_id"]
            run = rec.run(request_id)
            assert (run.status, run.close_reason) == ("cancelled", "client_gone")


def test_a_client_that_waits_is_answered_when_the_service_ends(sqlite_url: str) -> None:
    with Upstream(STREAM % b"run-1") as upstream, recording_from(sqlite_url, upstream.url) as rec:
        server = ApiServer(rec, grace_s=0)
        with server, _all_waiting(server, 1) as answers:
            upstream.asked.wait()
            next(rec.follow())
            server.__exit__(None, None, None)
        (response,) = answers
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_a_run_upstream_never_answered_leaves_nothing_open(sqlite_url: str) -> None:
    with Upstream(b"") as upstream, recording_from(sqlite_url, upstream.url) as rec:
        server = ApiServer(rec, grace_s=0)
        with server, _all_waiting(server, 1) as answers:
            upstream.asked.wait()
            server.__exit__(None, None, None)
        problem(answers[0], 503, "stopping")
        assert rec.log.head().position == 0


def test_a_refusal_whose_body_never_ends_is_closed_too(sqlite_url: str) -> None:
    answer = (STREAM % b"run-1").replace(b"200 OK", b"500 Oops") + b"never en"
    with Upstream(answer) as upstream, recording_from(sqlite_url, upstream.url) as rec:
        with ApiServer(rec, grace_s=0) as server, client_of(server) as http:
            assert start(http).json()["request_id"] == "run-1"
        run = rec.run("run-1")
        assert (run.status, run.close_reason) == ("failed", "refused")


def test_nothing_is_started_while_the_log_is_away(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with (
        Upstream(STREAM % b"run-1") as upstream,
        recording_from(sqlite_url, upstream.url) as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        with rec.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE log_head RENAME TO elsewhere")
        problem(start(http), 503, "log-unavailable")
        with rec.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO log_head")
        assert upstream.requests == []
