"""Starting recorded runs again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.documents import Mode
from tests.api.asserts import problem, wrong_fields
from tests.api.conftest import client_of
from tests.api.test_start import recording_from
from tests.api.upstream import STREAM, Upstream
from tests.builders import WORKFLOW, history, opened, output

BODY = '{"prompt": "a cat", "seed": 1.10}'
ANSWER = STREAM % b"again" + output()
JSON = {"content-type": "application/json"}


@contextmanager
def served(sqlite_url: str, upstream: Upstream) -> Iterator[tuple[Recorder, httpx.Client]]:
    with (
        recording_from(sqlite_url, upstream.url) as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        yield rec, http


@pytest.mark.parametrize(
    ("mode", "path", "body", "sent"),
    [
        ("stream", "/stream", {}, BODY),
        ("stream", "/stream", {"set": {"prompt": "a dog"}}, '{"prompt":"a dog","seed":1.10}'),
        ("queue", "/stream", {}, BODY),
        ("call", "", {}, BODY),
    ],
)
def test_a_run_is_started_again_and_knows_its_parent(
    sqlite_url: str, mode: Mode, path: str, body: dict[str, object], sent: str
) -> None:
    with Upstream(ANSWER) as upstream, served(sqlite_url, upstream) as (rec, http):
        upstream.go_on()
        rec.log.append(history("first", document=opened("first", input=BODY, mode=mode)))
        answer = http.post("/api/v1/runs/first/rerun", json=body | {"wait": True})
        run = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (200, "/api/v1/runs/again")
        assert (run["status"], run["parent"], run["workflow"]) == ("completed", "first", WORKFLOW)
        assert run["mode"] == ("call" if mode == "call" else "stream")
        (request,) = upstream.requests
    head, _, content = request.partition(b"\r\n\r\n")
    assert head.startswith(f"POST /{WORKFLOW}{path} HTTP".encode())
    assert content == sent.encode()


def test_without_wait_it_is_answered_once_it_is_under_way(sqlite_url: str) -> None:
    with Upstream(ANSWER) as upstream, served(sqlite_url, upstream) as (rec, http):
        rec.log.append(history("first", document=opened("first", input=BODY)))
        answer = http.post("/api/v1/runs/first/rerun", json={})
        assert (answer.status_code, answer.json()["request_id"]) == (202, "again")
        upstream.go_on()


def test_what_cannot_be_started_again_is_said(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(history("silent"))
    sqlite_rec.log.append(history("list", document=opened("list", input="[]")))
    app = opened("app", input="{}", workflow="fal-ai/fast-sdxl")
    sqlite_rec.log.append(history("app", document=app))
    problem(http.post("/api/v1/runs/none/rerun", json={}), 404, "run-not-found")
    answer = http.post("/api/v1/runs/silent/rerun", json={})
    said = "run silent cannot be started again: its input is not recorded"
    assert problem(answer, 409, "not-rerunnable")["detail"] == said
    assert wrong_fields(http.post("/api/v1/runs/list/rerun", json={"set": {"a": 1}})) == ["set"]
    problem(http.post("/api/v1/runs/app/rerun", json={}), 422, "bad-target")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"set": 1}', "set"),
        (b'{"set": {"a": NaN}}', "body"),
        (b'{"wait": "yes"}', "wait"),
        (b'{"more": 1}', "more"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_by_field(
    http: httpx.Client, sqlite_rec: Recorder, content: bytes, field: str
) -> None:
    sqlite_rec.log.append(history("a", document=opened("a", input="{}")))
    answer = http.post("/api/v1/runs/a/rerun", content=content, headers=JSON)
    assert wrong_fields(answer) == [field]
    problem(http.post("/api/v1/runs/a/rerun", content=b"{}"), 415, "not-json")
