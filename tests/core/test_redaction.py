"""Nothing secret passes: headers and URLs with a canary in every place a credential can be."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import redaction
from recorder.redaction import REDACTED, UNREADABLE

CANARY = "c4n4ry-7f3e"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "AUTHORIZATION",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "X-Fal-Key",
        "x-fal-webhook-signature",
        "X-Fal-Token",
        "x-fal-jwt",
        "X-Fal-Client-Secret",
        "X-Auth-Credential",
        "X-Password",
    ],
)
def test_a_credential_shows_as_present_only(name: str) -> None:
    assert redaction.headers([(name, CANARY), (name, f"Key {CANARY}")]) == {name.lower(): REDACTED}


@pytest.mark.parametrize("name", ["x-real-ip", "x-forwarded-for", "referer", "x-custom", "etag"])
def test_a_header_nobody_knows_is_left_out(name: str) -> None:
    assert redaction.headers([(name, CANARY)]) == {}


def test_harmless_headers_and_fals_own_are_kept() -> None:
    assert redaction.headers(
        [
            ("Content-Type", "text/event-stream"),
            ("X-Fal-Request-Id", "d778bdf4"),
            ("x-fal-billable-units", "2"),
            ("X-FAL-SERVED-FROM", "somewhere"),
            ("Content-Length", "5"),
            ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ]
    ) == {
        "content-type": "text/event-stream",
        "x-fal-request-id": "d778bdf4",
        "x-fal-billable-units": "2",
        "x-fal-served-from": "somewhere",
        "content-length": "5",
        "date": "Mon, 01 Jan 2024 00:00:00 GMT",
    }


def test_repeated_headers_are_joined() -> None:
    assert redaction.headers(
        [("Via", "a"), ("via", "b"), ("X-Fal-Hint", "c"), ("VIA", "d"), ("x-fal-hint", "")]
    ) == {"via": "a, b, d", "x-fal-hint": "c, "}


@pytest.mark.parametrize("scheme", ["https", "HTTPS", " https"])
def test_a_url_in_a_header_loses_its_credentials_too(scheme: str) -> None:
    target = f"{scheme}://u:{CANARY}@fal.run/workflows/a/b?fal_jwt_token={CANARY}&logs=1"
    assert redaction.headers([("X-Fal-Target-Url", target)]) == {
        "x-fal-target-url": f"https://fal.run/workflows/a/b?fal_jwt_token={REDACTED}&logs=1"
    }


URLS = [
    ("https://fal.run/workflows/a/b/stream", "https://fal.run/workflows/a/b/stream"),
    ("HTTPS://FAL.run:443/a", "https://FAL.run:443/a"),
    ("http://[::1]:8000/a?b=c", "http://[::1]:8000/a?b=c"),
    ("https://h/a?logs=1&x=&y", "https://h/a?logs=1&x=&y="),
    ("https://h/a?b=%20%26&b=2", "https://h/a?b=+%26&b=2"),
    (f"https://h/a?fal_jwt_token={CANARY}", f"https://h/a?fal_jwt_token={REDACTED}"),
    (f"https://h/a?FAL_JWT_TOKEN={CANARY}", f"https://h/a?FAL_JWT_TOKEN={REDACTED}"),
    (f"https://h/a?fal%5Fjwt%5Ftoken={CANARY}", f"https://h/a?fal_jwt_token={REDACTED}"),
    (f"https://h/a?token={CANARY}&token={CANARY}", f"https://h/a?token={REDACTED}&token={REDACTED}"),
    (f"https://h/a?x-api-key={CANARY}", f"https://h/a?x-api-key={REDACTED}"),
    (f"https://h/a?X-Amz-Signature={CANARY}", f"https://h/a?X-Amz-Signature={REDACTED}"),
    (f"https://h/a?client_secret={CANARY}", f"https://h/a?client_secret={REDACTED}"),
    (f"https://h/a#{CANARY}", "https://h/a"),
    (f"https://h/a?b=c#access_token={CANARY}", "https://h/a?b=c"),
    (f"https://user:{CANARY}@h/a", "https://h/a"),
    (f"https://{CANARY}@h:1/a", "https://h:1/a"),
    (f"https://user:p@{CANARY}@h/a", "https://h/a"),
    (f"https://user:{CANARY}\\@h/a", "https://h/a"),
    (f"https:/user:{CANARY}@h/a", "https:h/a"),
    (f"user:{CANARY}@h/a", "user:h/a"),
    ("https://h:99999/a", "https://h:99999/a"),
    ("https://h:port/a", "https://h:port/a"),
    (f"http://[{CANARY}", UNREADABLE),
    (f"http://user:{CANARY}@[::1/a", UNREADABLE),
    (f"http://h/?token={CANARY}&a=\ud800", UNREADABLE),
    ("http://h\u2100/", UNREADABLE),
    ("workflows/a/b", "workflows/a/b"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("address", "shown"), URLS, ids=repr)
def test_a_url_is_shown_without_what_it_hides(address: str, shown: str) -> None:
    assert redaction.url(address) == shown
    assert CANARY not in shown


schemes = st.sampled_from(["http://", "https://", "//", "", "HTTP:", "x:"])
places = st.lists(
    st.text(max_size=4) | st.sampled_from([*list("@:/?#[]&=;%\\"), "h", "%5B", "token="]),
    max_size=12,
).map("".join)


@settings(max_examples=500, deadline=None)
@given(schemes, places)
def test_any_address_is_shown_without_an_error(scheme: str, rest: str) -> None:
    shown = redaction.url(scheme + rest)
    assert "#" not in shown


@settings(max_examples=300, deadline=None)
@given(
    schemes.filter(lambda scheme: scheme.endswith("//")),
    st.text(st.characters(exclude_characters="/?#"), max_size=8),
)
def test_no_user_or_password_before_a_host_is_shown(scheme: str, user: str) -> None:
    assert CANARY not in redaction.url(f"{scheme}{user}{CANARY}:{CANARY}@host/path")


def test_an_address_within_an_address_is_shown_likewise() -> None:
    webhook = f"https://user:{CANARY}@hooks.test/x?token={CANARY}&y=z"
    encoded = quote(webhook, safe="")
    for address in (f"https://fal.run/a?fal_webhook={encoded}", f"https://fal.run/a?b={webhook}"):
        shown = redaction.url(address)
        assert (CANARY in shown, "hooks.test" in shown) == (False, True)


def test_addresses_within_addresses_have_an_end() -> None:
    nested = "https://a.test/?b=" * 5_000 + CANARY
    shown = redaction.url(nested)
    assert (CANARY in shown, shown.startswith("https://a.test/?b=")) == (False, True)
    assert CANARY not in redaction.headers([("x-fal-address", nested)])["x-fal-address"]
