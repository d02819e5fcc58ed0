"""Webhooks as a receiver gets them: what they say, their signature, tries and faults."""

from __future__ import annotations

import base64
import hashlib
import logging
import queue
import time
from collections.abc import Iterator

import httpx
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings, WebhookFaults
from tests.emulator.builders import Json, slow
from tests.emulator.queueing import (
    HOLDING,
    QUEUE,
    SMALL,
    Delivery,
    given_up_webhooks,
    queue_of,
    receiver,
    submit,
)

SEED = "07" * 32


@pytest.fixture
def given_up() -> Iterator[queue.Queue[logging.LogRecord]]:
    """What the emulator logs about webhooks that nobody accepted."""
    with given_up_webhooks() as records:
        yield records


def check_signature(client: httpx.Client, delivery: Delivery) -> None:
    """As fal's documentation tells receivers to do it; raises `BadSignatureError`."""
    [key] = client.get("/.well-known/jwks.json").json()["keys"]
    names = ("request-id", "user-id", "timestamp")
    signed = [delivery.headers[f"x-fal-webhook-{name}"] for name in names]
    signed.append(hashlib.sha256(delivery.body).hexdigest())
    VerifyKey(base64.urlsafe_b64decode(key["x"] + "==")).verify(
        "\n".join(signed).encode(),
        bytes.fromhex(delivery.headers["x-fal-webhook-signature"]),
    )


def report(delivery: Delivery) -> Json:
    told: Json = httpx.Response(200, content=delivery.body).json()
    return told


def test_a_webhook_reports_the_output(client: httpx.Client) -> None:
    with receiver() as hook:
        reply = submit(client, to=f"{hook.url}?run=1")
        delivery = hook.next()
    assert delivery.path == "/hook?run=1"
    assert delivery.headers["content-type"] == "application/json"
    assert report(delivery) == {
        "request_id": reply["request_id"],
        "gateway_request_id": reply["request_id"],
        "status": "OK",
        "payload": client.get(reply["response_url"]).json(),
        "error": None,
        "payload_error": None,
    }


def test_a_webhook_reports_a_failure_with_the_answer_of_the_step(client: httpx.Client) -> None:
    with receiver() as hook:
        reply = submit(client, SMALL | {"num_images": 9}, to=hook.url)
        told = report(hook.next())
    assert told == {
        "request_id": reply["request_id"],
        "gateway_request_id": reply["request_id"],
        "status": "ERROR",
        "payload": client.get(reply["response_url"]).json(),
        "error": "Invalid status code: 422",
        "payload_error": None,
    }


def test_a_cancelled_request_is_reported_too(client: httpx.Client) -> None:
    with receiver() as hook:
        reply = submit(client, SMALL, to=hook.url, apps=slow(600))
        client.put(reply["cancel_url"])
        told = report(hook.next())
    assert (told["status"], told["error"]) == ("ERROR", "Invalid status code: 499")


def test_a_webhook_is_signed_with_the_published_key(client: httpx.Client) -> None:
    earliest = int(time.time())
    with receiver() as hook:
        reply = submit(client, to=hook.url)
        delivery = hook.next()
    check_signature(client, delivery)
    assert delivery.headers["x-fal-webhook-request-id"] == reply["request_id"]
    assert delivery.headers["x-fal-webhook-user-id"] == "emulator"
    assert earliest <= int(delivery.headers["x-fal-webhook-timestamp"]) <= time.time()


def test_the_key_follows_from_its_seed_and_is_new_without_one() -> None:
    sets = []
    for seed in (SEED, SEED, None, None):
        with EmulatorServer(EmulatorSettings(queue=QueueSettings(webhook_key_seed=seed))) as server:
            sets.append(httpx.get(f"{server.url}/.well-known/jwks.json").json())
    public = bytes(SigningKey(bytes.fromhex(SEED)).verify_key)
    assert sets[0] == {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "alg": "EdDSA",
                "kid": hashlib.sha256(public).hexdigest()[:16],
                "x": base64.urlsafe_b64encode(public).decode().rstrip("="),
            }
        ]
    }
    assert sets[0] == sets[1]
    assert sets[1] != sets[2] != sets[3]


def test_a_receiver_that_does_not_accept_is_tried_again() -> None:
    with queue_of() as client, receiver([503, 404]) as hook:
        submit(client, to=hook.url)
        deliveries = [hook.next() for _ in range(3)]
        for delivery in deliveries:
            check_signature(client, delivery)
    assert len({delivery.body for delivery in deliveries}) == 1
    assert hook.nothing_more()


@pytest.mark.parametrize(
    ("answers", "tries"), [([500] * 9, 2), ([301], 1)], ids=["unwilling", "redirecting"]
)
def test_a_receiver_that_never_accepts_is_given_up(
    given_up: queue.Queue[logging.LogRecord], answers: list[int], tries: int
) -> None:
    with queue_of(webhook_tries=2) as client, receiver(answers) as hook:
        reply = submit(client, to=hook.url)
        logged = given_up.get(timeout=30).getMessage()
        deliveries = [hook.next() for _ in range(tries)]
        assert hook.nothing_more()
    assert logged == f"the webhook of request {reply['request_id']} was not accepted"
    assert {delivery.path for delivery in deliveries} == {"/hook"}


def test_a_receiver_that_does_not_answer_in_time_is_given_up(
    given_up: queue.Queue[logging.LogRecord],
) -> None:
    settings = {"webhook_tries": 2, "webhook_timeout_s": 0.05}
    with receiver([0, 0]) as hook, queue_of(**settings) as client:
        submit(client, to=hook.url)
        assert given_up.get(timeout=30).levelno == logging.WARNING
        assert hook.next().body == hook.next().body
        assert hook.nothing_more()


def test_a_receiver_that_is_away_is_given_up(given_up: queue.Queue[logging.LogRecord]) -> None:
    with receiver() as gone:
        pass
    with queue_of(webhook_tries=2) as client:
        submit(client, to=gone.url)
        assert given_up.get(timeout=30).levelno == logging.WARNING


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://receiver.test/",
        "/hook",
        "http:///hook",
        "http://receiver.test:99999/",
        "http://[::1",
        "http://xn--/",
    ],
)
def test_only_addresses_of_web_servers_are_taken(client: httpx.Client, url: str) -> None:
    answer = client.post(QUEUE, json=SMALL, params={"fal_webhook": url})
    assert (answer.status_code, answer.json()) == (
        422,
        {
            "detail": [
                {
                    "loc": ["query", "fal_webhook"],
                    "msg": "an http or https address is expected",
                    "type": "value_error.url",
                }
            ]
        },
    )


def test_a_webhook_can_be_badly_signed(client: httpx.Client) -> None:
    with receiver() as hook:
        submit(client, to=hook.url, webhook={"bad_signature": True})
        delivery = hook.next()
    assert report(delivery)["status"] == "OK"
    with pytest.raises(BadSignatureError):
        check_signature(client, delivery)


def test_a_webhook_can_be_old_and_well_signed(client: httpx.Client) -> None:
    with receiver() as hook:
        submit(client, to=hook.url, webhook={"age_s": 600})
        delivery = hook.next()
    check_signature(client, delivery)
    age_s = time.time() - int(delivery.headers["x-fal-webhook-timestamp"])
    assert 600 <= age_s < 660


def test_a_webhook_can_come_twice_or_never() -> None:
    with queue_of(runners=1) as client, receiver() as hook:
        submit(client, to=f"{hook.url}/never", webhook={"deliveries": 0})
        submit(client, to=f"{hook.url}/twice", webhook={"deliveries": 2})
        first, second = hook.next(), hook.next()
        assert hook.nothing_more()
    assert (first.path, first.body) == (second.path, second.body)
    assert first.path == "/hook/twice"


def test_a_webhook_can_come_without_its_payload(client: httpx.Client) -> None:
    with receiver() as hook:
        submit(client, to=hook.url, webhook={"payload_error": True})
        told = report(hook.next())
    assert (told["status"], told["payload"], told["payload_error"][:40]) == (
        "OK",
        None,
        "Response payload is not JSON serializabl",
    )


def test_faults_of_webhooks_can_be_settings_for_every_run() -> None:
    settings = EmulatorSettings(webhook=WebhookFaults(age_s=600))
    with (
        EmulatorServer(settings) as server,
        httpx.Client(base_url=server.url) as client,
        receiver() as hook,
    ):
        submit(client, to=hook.url)
        old = hook.next()
        submit(client, to=hook.url, webhook={})
        fresh = hook.next()
    times = [int(each.headers["x-fal-webhook-timestamp"]) for each in (old, fresh)]
    assert 600 <= times[1] - times[0] < 660


def test_stopping_does_not_wait_for_webhooks_to_be_accepted() -> None:
    with receiver([500]) as hook:
        with queue_of(webhook_pause_s=600) as client:
            submit(client, {}, HOLDING, to=hook.url)
            hook.next()
        assert hook.nothing_more()


def test_a_webhook_can_come_before_the_reply_to_its_submit(client: httpx.Client) -> None:
    with receiver() as hook:
        reply = submit(client, to=hook.url, webhook={"overtakes": True})
        assert not hook.nothing_more()
        assert report(hook.next())["request_id"] == reply["request_id"]


@pytest.mark.parametrize("deliveries", [0, 2])
def test_a_submit_whose_webhook_nobody_accepts_is_answered_all_the_same(
    deliveries: int, given_up: queue.Queue[logging.LogRecord]
) -> None:
    faults = {"overtakes": True, "deliveries": deliveries}
    with queue_of(webhook_tries=2) as client, receiver([500, 500, 500, 500]) as hook:
        assert submit(client, to=hook.url, webhook=faults)["status"] == "IN_QUEUE"
    assert given_up.empty() == (deliveries == 0)
