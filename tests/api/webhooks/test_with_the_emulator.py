"""The whole way round: submitted through the proxy, run by the emulator's queue, ended by its webhook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import recorder
from api.server import ApiServer
from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings, WebhookFaults
from recorder.bootstrap import Recorder
from recorder.events import Exchange
from recorder.graph import read_graph
from recorder.projections.runs import Run
from recorder.settings import Settings
from tests.api.conftest import client_of
from tests.emulator.queueing import SMALL, given_up_webhooks
from tests.logs import WAIT_S

STICKER = "workflows/fal-ai/sdxl-sticker"
WEBHOOK = "/api/v1/webhooks/fal"


@contextmanager
def recorded(
    database_url: str, emulator: EmulatorServer
) -> Iterator[tuple[Recorder, httpx.Client]]:
    """A recorder before an emulator, and a client of its service."""
    settings = Settings(
        database_url=database_url,
        fal_url=emulator.url,
        api_url=emulator.url,
        fal_key=SecretStr("id:not-a-real-key"),
    )
    with (
        recorder.open(database_url, settings=settings) as rec,
        ApiServer(rec) as server,
        client_of(server) as http,
    ):
        yield rec, http


def submit(http: httpx.Client, body: Any = SMALL) -> dict[str, Any]:
    """The reply to a submit whose webhook is the recorder's own."""
    hook = {"fal_webhook": f"{http.base_url}{WEBHOOK}"}
    answer = http.post(f"/fal/queue/{STICKER}", json=body, params=hook)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def ended(rec: Recorder) -> Run:
    """The next run to be closed."""
    closed = next(logged for logged in rec.follow() if logged.type == "closed")
    return rec.run(closed.request_id)


def exchanges(rec: Recorder, request_id: str) -> list[str]:
    events = (logged.event for logged in rec.events(request_id))
    return [event.what for event in events if isinstance(event, Exchange)]


def test_a_queued_run_ends_with_its_webhook(database_url: str) -> None:
    twice = EmulatorSettings(webhook=WebhookFaults(deliveries=2))
    with EmulatorServer(twice) as emulator, recorded(database_url, emulator) as (rec, http):
        reply = submit(http)
        run = ended(rec)
        assert (run.request_id, run.workflow, run.status, run.close_reason) == (
            reply["request_id"],
            STICKER,
            "completed",
            "eof",
        )
        assert exchanges(rec, run.request_id) == ["submit", "webhook"]


def test_a_webhook_that_comes_before_the_reply_to_its_submit_is_of_the_same_run(
    database_url: str,
) -> None:
    hasty = EmulatorSettings(webhook=WebhookFaults(overtakes=True, deliveries=2))
    with EmulatorServer(hasty) as emulator, recorded(database_url, emulator) as (rec, http):
        reply = submit(http)
        run = ended(rec)
        assert (run.request_id, run.workflow, run.status, run.close_reason) == (
            reply["request_id"],
            STICKER,
            "completed",
            "eof",
        )
        assert run.duration_us is not None
        assert exchanges(rec, run.request_id) == ["webhook", "submit"]
        assert [each.request_id for each in rec.runs().runs] == [reply["request_id"]]


def test_a_queued_run_has_its_workflows_definition_once_that_is_known(sqlite_url: str) -> None:
    with EmulatorServer() as emulator, recorded(sqlite_url, emulator) as (rec, http):
        submit(http)
        ended(rec)
        assert rec.definitions.wait(WAIT_S)
        second = submit(http)["request_id"]
        next(logged for logged in rec.follow() if logged.request_id == second)
        named = rec.run(second).definition
        assert named is not None
        graph = read_graph(rec.definition(named))
        assert graph.order == ("stable_diffusion_xl", "rembg", "face_to_sticker")


def test_a_queued_run_that_fails_says_so(sqlite_url: str) -> None:
    with EmulatorServer() as emulator, recorded(sqlite_url, emulator) as (rec, http):
        submit(http, SMALL | {"num_images": 9})
        run = ended(rec)
        assert run.error is not None
        assert (run.status, run.error.message) == ("failed", "Invalid status code: 422")


def test_a_queued_run_that_was_cancelled_is_no_failure(sqlite_url: str) -> None:
    slow = EmulatorSettings.model_validate(
        {"apps": {"*": {"latency": {"kind": "fixed", "seconds": 600}}}}
    )
    with EmulatorServer(slow) as emulator, recorded(sqlite_url, emulator) as (rec, http):
        reply = submit(http)
        assert http.put(reply["cancel_url"]).status_code == 202
        run = ended(rec)
        assert (run.status, run.error) == ("cancelled", None)


@pytest.mark.parametrize("fault", [{"bad_signature": True}, {"age_s": 600}])
def test_a_webhook_that_is_not_to_be_believed_ends_nothing(
    sqlite_url: str, fault: dict[str, Any]
) -> None:
    unwilling = EmulatorSettings(
        webhook=WebhookFaults(**fault), queue=QueueSettings(webhook_tries=1)
    )
    with (
        given_up_webhooks() as given_up,
        EmulatorServer(unwilling) as emulator,
        recorded(sqlite_url, emulator) as (rec, http),
    ):
        reply = submit(http)
        assert reply["request_id"] in given_up.get(timeout=WAIT_S).getMessage()
        assert rec.run(reply["request_id"]).status == "running"
        assert exchanges(rec, reply["request_id"]) == ["submit"]
