"""Definitions over HTTP, and the runs that name them."""

from __future__ import annotations

import hashlib

import httpx

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.definitions import INLINE
from recorder.settings import Settings
from tests.api.asserts import problem, wrong_fields
from tests.api.conftest import client_of
from tests.builders import opened, output
from tests.logs import WAIT_S
from tests.serving import Page, site

DEFINITIONS = "/api/v1/definitions"
CANONICAL = b'{"a":{"app":"x","type":"run"}}'
DIGEST = hashlib.sha256(CANONICAL).hexdigest()
BODY = '{"workflow": {"a": {"type": "run", "app": "x"}}}'


def test_a_run_names_its_definition_which_is_answered_as_it_is_kept(
    http_on_both: httpx.Client, rec: Recorder
) -> None:
    rec.start(opened("run-1", workflow=INLINE, input=BODY)).close("eof")
    assert rec.definitions.wait(WAIT_S)
    rec.writer.flush()
    named = http_on_both.get("/api/v1/runs/run-1").json()["definition"]
    answer = http_on_both.get(f"{DEFINITIONS}/{named}")
    assert (named, answer.status_code, answer.content) == (DIGEST, 200, CANONICAL)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_requests_through_the_proxy_bring_their_definition_along(sqlite_url: str) -> None:
    submitted = Page(b'{"request_id": "queued"}')
    streamed = Page(
        output(), headers={"content-type": "text/event-stream", "x-fal-request-id": "streamed"}
    )
    with site({f"/queue/{INLINE}": submitted, f"/{INLINE}/stream": streamed}) as fal:
        settings = Settings(database_url=sqlite_url, fal_url=fal.url, fal_key=None)
        with (
            recorder.open(sqlite_url, settings=settings) as rec,
            ApiServer(rec) as server,
            client_of(server) as http,
        ):
            for path, last in ((f"queue/{INLINE}", "exchange"), (f"{INLINE}/stream", "closed")):
                assert http.post(f"/fal/{path}", content=BODY).status_code == 200
                next(logged for logged in rec.follow() if logged.type == last)
            runs = http.get("/api/v1/runs").json()["runs"]
    assert {run["request_id"]: run["definition"] for run in runs} == {
        "queued": DIGEST,
        "streamed": DIGEST,
    }


def test_what_the_client_has_is_not_sent_again(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.definitions.of_opened(opened("run-1", workflow=INLINE, input=BODY))
    assert sqlite_rec.definitions.wait(WAIT_S)
    for has, status in [
        (f'"{DIGEST}"', 304),
        (f'"other", W/"{DIGEST}"', 304),
        ("*", 304),
        ('"other"', 200),
        (DIGEST[:60], 200),
    ]:
        answer = http.get(f"{DEFINITIONS}/{DIGEST}", headers={"if-none-match": has})
        assert (answer.status_code, answer.headers["etag"]) == (status, f'"{DIGEST}"')
        assert answer.content == (CANONICAL if status == 200 else b"")


def test_a_digest_that_is_none_or_nobody_s(http: httpx.Client) -> None:
    problem(http.get(f"{DEFINITIONS}/{'0' * 64}"), 404, "definition-not-found")
    for odd in ("0" * 63, "0" * 65, "A" * 64, "x"):
        assert wrong_fields(http.get(f"{DEFINITIONS}/{odd}")) == ["digest"]
