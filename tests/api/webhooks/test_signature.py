"""The four headers of a webhook: read, recent, and what is signed."""

from __future__ import annotations

import hashlib

import pytest

from api.errors import WebhookRefused
from api.webhooks.signature import Signed

NOW_S = 1_700_000_000.0
HEADERS = {
    "x-fal-webhook-request-id": "run-1",
    "x-fal-webhook-user-id": "github|1234",
    "x-fal-webhook-timestamp": "1700000000",
    "x-fal-webhook-signature": "0f" * 64,
}


def test_the_headers_and_the_body_make_the_signed_message() -> None:
    signed = Signed.of(HEADERS, NOW_S)
    assert signed == Signed("run-1", "github|1234", "1700000000", b"\x0f" * 64)
    digest = hashlib.sha256(b"{}").hexdigest()
    assert signed.message(b"{}") == f"run-1\ngithub|1234\n1700000000\n{digest}".encode()


def test_values_beyond_ascii_are_signed_as_the_bytes_they_came_as() -> None:
    signed = Signed.of(HEADERS | {"x-fal-webhook-user-id": "Ã©"}, NOW_S)
    assert signed.message(b"").split(b"\n")[1] == "é".encode()


@pytest.mark.parametrize("off_s", [-300, 0, 300])
def test_up_to_five_minutes_from_now_is_recent(off_s: int) -> None:
    assert Signed.of(HEADERS, NOW_S + off_s).request_id == "run-1"


@pytest.mark.parametrize("off_s", [-301, 300.5, 10**9])
def test_more_is_not(off_s: float) -> None:
    with pytest.raises(WebhookRefused, match="signed more than 300 s from now"):
        Signed.of(HEADERS, NOW_S + off_s)


@pytest.mark.parametrize("name", HEADERS)
def test_every_header_has_to_be_there(name: str) -> None:
    for headers in ({k: v for k, v in HEADERS.items() if k != name}, HEADERS | {name: ""}):
        with pytest.raises(WebhookRefused, match=f"{name} is missing or makes no sense"):
            Signed.of(headers, NOW_S)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timestamp", " 1700000000"),
        ("timestamp", "+1700000000"),
        ("timestamp", "1_700_000_000"),
        ("timestamp", "1700000000.0"),
        ("timestamp", "1e9"),
        ("timestamp", "nan"),
        ("timestamp", "٣"),
        ("timestamp", "9" * 5_000),
        ("signature", "0f" * 63),
        ("signature", "0f" * 65),
        ("signature", "0g" * 64),
        ("signature", "0f " * 42 + "0f"),
        ("signature", "０" * 128),
    ],
)
def test_what_is_no_number_or_no_signature_is_refused(name: str, value: str) -> None:
    with pytest.raises(WebhookRefused, match="makes no sense"):
        Signed.of(HEADERS | {f"x-fal-webhook-{name}": value}, NOW_S)
