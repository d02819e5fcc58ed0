"""Webhooks over HTTP: what is taken, what is refused, and what is in the log afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

import recorder
from api.server import ApiServer
from api.webhooks.receiver import WebhookReceiver
from recorder.bootstrap import Recorder
from recorder.capture import MAX_PART_BYTES, Capture
from recorder.documents import Exchange
from recorder.events import Opened
from recorder.lease import Watch
from recorder.projections.steps import Failure
from recorder.settings import Settings, WebhookSettings
from tests.api.asserts import problem
from tests.api.conftest import client_of
from tests.raw import RawDatabase
from tests.serving import Page, Site, site
from tests.webhooks import USER_ID, FalSigner, key_set, report

WEBHOOK = "/api/v1/webhooks/fal"
SUBMIT = "/queue/workflows/acme/poster"
KEYS = "/.well-known/jwks.json"


@pytest.fixture(scope="module")
def signer() -> FalSigner:
    return FalSigner()


@pytest.fixture
def fal(signer: FalSigner) -> Iterator[Site]:
    """What stands for fal: its keys, and a queue that takes `run-1`."""
    submitted = json.dumps({"status": "IN_QUEUE", "request_id": "run-1"}).encode()
    with site({KEYS: Page(key_set(signer)), SUBMIT: Page(submitted)}) as served:
        yield served


@contextmanager
def recording(url: str, fal: Site, **webhook: Any) -> Iterator[Recorder]:
    settings = Settings(
        database_url=url, fal_url=fal.url, fal_key=None, webhook=WebhookSettings(**webhook)
    )
    with recorder.open(url, settings=settings) as rec:
        yield rec


@contextmanager
def serving(url: str, fal: Site, **webhook: Any) -> Iterator[tuple[Recorder, httpx.Client]]:
    """A recorder, and a client of its service."""
    with (
        recording(url, fal, **webhook) as rec,
        ApiServer(rec) as server,
        client_of(server) as client,
    ):
        yield rec, client


@pytest.fixture
def rec(sqlite_url: str, fal: Site) -> Iterator[Recorder]:
    with recording(sqlite_url, fal) as opened:
        yield opened


@pytest.fixture
def http(rec: Recorder) -> Iterator[httpx.Client]:
    with ApiServer(rec) as server, client_of(server) as client:
        yield client


def deliver(
    http: httpx.Client, signer: FalSigner, body: bytes | None = None, **changed: str
) -> httpx.Response:
    """Posts a webhook about `run-1`, with headers changed after it was signed."""
    body = report() if body is None else body
    return http.post(WEBHOOK, content=body, headers=signer.headers(body) | changed)


def exchanges(rec: Recorder, request_id: str = "run-1") -> list[Exchange]:
    events = (logged.event for logged in rec.events(request_id))
    return [event for event in events if isinstance(event, Exchange)]


def test_a_webhook_of_a_run_submitted_elsewhere_is_the_run(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    answer = deliver(http, signer)
    assert (answer.status_code, answer.json()) == (200, {"request_id": "run-1"})
    opened, _, closed = rec.events("run-1")
    assert isinstance(opened.event, Opened)
    assert (opened.event.mode, opened.event.source, opened.event.timed) == ("queue", "proxy", False)
    run = rec.run("run-1")
    assert (run.status, run.workflow, run.steps, run.anomalies) == ("completed", "", {}, {})
    assert (run.duration_us, run.closed_at) == (None, closed.received_at)


def test_what_is_recorded_is_the_body_and_the_headers_without_the_signature(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    body = report(payload={"text": "é\ud800 1.10"})
    headers = signer.headers(body) | {"authorization": "Key id:secret", "x-odd": "odd"}
    assert http.post(WEBHOOK, content=body, headers=headers).status_code == 200
    [exchange] = exchanges(rec)
    assert exchange == Exchange(
        what="webhook", method="POST", headers=exchange.headers, body=body.decode()
    )
    assert {name for name in exchange.headers if name not in http.headers} == {
        "authorization",
        "content-length",
        "content-type",
        *(name for name in headers if name.startswith("x-fal-webhook-")),
    }
    assert exchange.headers["x-fal-webhook-user-id"] == USER_ID
    secret = [exchange.headers[name] for name in ("authorization", "x-fal-webhook-signature")]
    assert secret == ["[redacted]", "[redacted]"]


def test_a_run_submitted_through_the_proxy_ends_with_its_webhook(
    database_url: str, fal: Site, signer: FalSigner
) -> None:
    with serving(database_url, fal) as (rec, http):
        assert http.post("/fal/queue/workflows/acme/poster", json={"a": 1}).status_code == 200
        assert deliver(http, signer).status_code == 200
        run = rec.run("run-1")
        assert (run.workflow, run.status, run.close_reason) == (
            "workflows/acme/poster",
            "completed",
            "eof",
        )
        assert run.duration_us is not None
        assert [exchange.what for exchange in exchanges(rec)] == ["submit", "webhook"]


def test_a_webhook_that_reports_an_error_fails_the_run(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    body = report(status="ERROR", error="Invalid status code: 422", payload={"detail": []})
    assert deliver(http, signer, body).status_code == 200
    run = rec.run("run-1")
    assert run.status == "failed"
    assert run.error == Failure(message="Invalid status code: 422", body=body.decode())


def test_the_run_is_the_one_the_body_names_where_the_headers_name_another_try_at_it(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    body = report("in-the-queue", gateway_request_id="run-1")
    assert deliver(http, signer, body).json() == {"request_id": "in-the-queue"}
    assert [run.request_id for run in rec.runs().runs] == ["in-the-queue"]


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[1]", b'{"request_id": 5}', b"[" * 9_999])
def test_a_body_that_makes_no_sense_is_recorded_all_the_same(
    http: httpx.Client, rec: Recorder, signer: FalSigner, body: bytes
) -> None:
    assert deliver(http, signer, body).json() == {"request_id": "run-1"}
    assert rec.run("run-1").status == "running"


def test_the_same_webhook_again_is_taken_and_recorded_once(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    for body in (report(), report("run-2", status="ODD")):
        assert [deliver(http, signer, body).status_code for _ in range(3)] == [200] * 3
    assert sorted(run.request_id for run in rec.runs().runs) == ["run-1", "run-2"]
    assert (len(exchanges(rec)), len(exchanges(rec, "run-2"))) == (1, 1)


def test_the_same_webhook_after_a_restart_is_taken_and_not_recorded_again(
    database_url: str, fal: Site, signer: FalSigner
) -> None:
    for _ in range(2):
        with serving(database_url, fal) as (rec, http):
            assert deliver(http, signer).status_code == 200
            assert [run.request_id for run in rec.runs().runs] == ["run-1"]


def test_a_run_left_open_by_a_restart_ends_in_a_run_of_its_own(
    database_url: str, fal: Site, signer: FalSigner
) -> None:
    with serving(database_url, fal) as (rec, http):
        http.post("/fal/queue/workflows/acme/poster", json={})
    for _ in range(2):
        with serving(database_url, fal) as (rec, http):
            assert deliver(http, signer).status_code == 200
            runs = {run.request_id: run.status for run in rec.runs().runs}
            assert runs == {"run-1": "interrupted", "run-1~2": "completed"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x-fal-webhook-signature": "0" * 128}, "its signature fits none of fal's keys"),
        ({"x-fal-webhook-request-id": "run-2"}, "its signature fits none of fal's keys"),
        ({"x-fal-webhook-user-id": "another"}, "its signature fits none of fal's keys"),
        ({"x-fal-webhook-signature": ""}, "x-fal-webhook-signature is missing or makes no sense"),
    ],
)
def test_what_is_not_signed_by_fal_is_refused_and_not_recorded(
    http: httpx.Client, rec: Recorder, signer: FalSigner, changed: dict[str, str], reason: str
) -> None:
    answer = deliver(http, signer, None, **changed)
    assert problem(answer, 401, "webhook-refused")["detail"] == f"the webhook is refused: {reason}"
    assert rec.log.head().position == 0


def test_a_body_changed_on_the_way_another_signer_and_an_old_webhook_are_refused(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    body = report()
    for sent, headers in [
        (body + b" ", signer.headers(body)),
        (body, FalSigner().headers(body)),
        (body, signer.headers(body, age_s=310)),
        (body, signer.headers(body, bad_signature=True)),
        (body, {}),
    ]:
        problem(http.post(WEBHOOK, content=sent, headers=headers), 401, "webhook-refused")
    assert rec.log.head().position == 0


def test_a_body_over_the_limit_is_refused(
    http: httpx.Client, rec: Recorder, signer: FalSigner
) -> None:
    answer = deliver(http, signer, b" " * (MAX_PART_BYTES + 1))
    problem(answer, 413, "body-too-large")
    assert rec.log.head().position == 0


def test_without_fals_keys_nothing_is_taken_and_fal_is_asked_to_come_again(
    sqlite_url: str, fal: Site, signer: FalSigner
) -> None:
    del fal.pages[KEYS]
    with serving(sqlite_url, fal) as (rec, http):
        answer = deliver(http, signer)
        problem(answer, 503, "keys-unavailable")
        assert answer.headers["retry-after"] == "60"
        assert rec.log.head().position == 0


def test_the_webhooks_of_other_accounts_can_be_refused(
    sqlite_url: str, fal: Site, signer: FalSigner
) -> None:
    for user_id, status in ((USER_ID, 200), ("another", 401)):
        with serving(sqlite_url, fal, user_id=user_id) as (_, http):
            assert deliver(http, signer).status_code == status


def test_a_webhook_is_taken_only_once_it_is_in_the_log_for_good(
    sqlite_url: str, fal: Site, signer: FalSigner
) -> None:
    with recording(sqlite_url, fal) as rec:
        server = ApiServer(rec)
        capture = Capture(rec.new_recording, "proxy")
        server.app.state.webhooks = WebhookReceiver(rec, capture, durable_s=0)
        other = RawDatabase(sqlite_url)
        with server, client_of(server) as http:
            other.execute("BEGIN IMMEDIATE")  # nobody else can commit now
            problem(deliver(http, signer), 503, "log-unavailable")
            other.execute("ROLLBACK")
            assert rec.writer.flush()
            server.app.state.webhooks = WebhookReceiver(rec, capture)
            assert deliver(http, signer).status_code == 200
            assert len(exchanges(rec)) == 1
        other.close()


def test_a_run_that_another_recorder_has_closed_meanwhile_ends_in_a_run_of_its_own(
    sqlite_url: str, fal: Site, signer: FalSigner
) -> None:
    with serving(sqlite_url, fal) as (rec, http):
        http.post("/fal/queue/workflows/acme/poster", json={})
        next(logged for logged in rec.follow() if logged.type == "exchange")
        with recorder.open(sqlite_url, settings=rec.settings) as other:
            assert isinstance(other.watch, Watch)
            other.watch._close("run-1")  # as is done with the runs of a dead recorder
        assert [deliver(http, signer).status_code for _ in range(2)] == [200, 200]
        assert {run.request_id: run.status for run in rec.runs().runs} == {
            "run-1": "interrupted",
            "run-1~2": "completed",
        }


def test_nothing_is_recorded_where_that_is_the_setting(
    sqlite_url: str, fal: Site, signer: FalSigner
) -> None:
    with recording(sqlite_url, fal) as rec:
        server = ApiServer(rec)
        capture = Capture(rec.new_recording, "proxy", record="none")
        server.app.state.webhooks = WebhookReceiver(rec, capture)
        with server, client_of(server) as http:
            assert deliver(http, signer).status_code == 200
        assert rec.log.head().position == 0


class TestHandingOn:
    def test_body_and_headers_arrive_as_fal_sent_them(
        self, sqlite_url: str, fal: Site, signer: FalSigner
    ) -> None:
        body = report()
        with site({"/hook": Page()}) as user:
            url = f"{user.url}/hook"
            with serving(sqlite_url, fal, forward_url=url) as (_, http):
                sent = signer.headers(body) | {"authorization": "Key id:secret"}
                assert http.post(WEBHOOK, content=body, headers=sent).status_code == 200
                problem(deliver(http, FalSigner()), 401, "webhook-refused")
                handed_on = user.next()
        assert (handed_on.method, handed_on.body) == ("POST", body)
        fals = {name: value for name, value in sent.items() if name != "authorization"}
        assert handed_on.headers | fals == handed_on.headers
        assert "authorization" not in handed_on.headers
        assert len(user.asked) == 1
