"""From what a user names to the endpoint that is called, and who gets the key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from recorder.errors import BadTarget, MissingKey
from recorder.settings import Settings
from recorder.sources.http import Target, new_client, request_headers, resolve

KEY = "key-id:c4n4ry"
LOCAL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("target", "base", "url", "workflow"),
    [
        ("workflows/o/n", LOCAL, f"{LOCAL}/workflows/o/n/stream", "workflows/o/n"),
        ("workflows/o/n", f"{LOCAL}/", f"{LOCAL}/workflows/o/n/stream", "workflows/o/n"),
        ("workflows/o/n", f"{LOCAL}/a/b//", f"{LOCAL}/a/b/workflows/o/n/stream", "workflows/o/n"),
        ("workflows/execute", LOCAL, f"{LOCAL}/workflows/execute/stream", "workflows/execute"),
        ("workflows/o.1/..n~_-", LOCAL, f"{LOCAL}/workflows/o.1/..n~_-/stream", "workflows/o.1/..n~_-"),
        (f"{LOCAL}/workflows/o/n/stream", LOCAL, None, "workflows/o/n"),
        (f"{LOCAL}/workflows/o/n/stream/", LOCAL, None, "workflows/o/n"),
        (f"{LOCAL}/workflows/o/n/stream?logs=1#top", LOCAL, None, "workflows/o/n"),
        (f"{LOCAL}/fal/workflows/o/n/stream", f"{LOCAL}/fal/", None, "workflows/o/n"),
        (f"{LOCAL}/falls/workflows/o/n", f"{LOCAL}/fal", None, "falls/workflows/o/n"),
        ("http://other/some/where", LOCAL, None, "some/where"),
        ("HTTP://other/w/stream", LOCAL, None, "w"),
        ("http://other", LOCAL, None, ""),
        ("http://[::1]:1/w/stream", LOCAL, None, "w"),
    ],
)  # fmt: skip
def test_a_target_is_a_workflow_id_under_the_base_or_a_url(
    target: str, base: str, url: str | None, workflow: str
) -> None:
    found = resolve(target, fal_url=base)
    assert (found.url, found.workflow, found.key) == (url or target, workflow, None)


def test_what_is_called_plainly_has_no_stream_in_its_address() -> None:
    found = resolve("workflows/o/n", fal_url=LOCAL, mode="call")
    assert (found.url, found.workflow) == (f"{LOCAL}/workflows/o/n", "workflows/o/n")
    assert request_headers(found)["accept"] == "application/json"


@pytest.mark.parametrize(
    ("target", "base", "gets_the_key"),
    [
        ("workflows/o/n", "https://fal.run", True),
        ("https://fal.run/workflows/o/n/stream", "https://fal.run", True),
        ("https://FAL.RUN:443/workflows/o/n/stream", LOCAL, True),
        ("https://queue.fal.run/workflows/o/n", LOCAL, True),
        ("workflows/o/n", LOCAL, True),
        (f"{LOCAL}/anything", f"{LOCAL}/fal", True),
        ("workflows/o/n", "http://fal.run", True),
        ("http://fal.run/workflows/o/n", "https://fal.run", False),
        ("https://fal.run:8443/workflows/o/n", "https://fal.run", False),
        ("https://fal.run.evil.example/w", "https://fal.run", False),
        ("https://evil-fal.run/w", "https://fal.run", False),
        ("https://rest.fal.run/w", "https://fal.run", False),
        ("https://evil.example/https://fal.run/w", "https://fal.run", False),
        ("https://evil.example?https://fal.run/w", "https://fal.run", False),
        ("https://127.0.0.1:8000/w", LOCAL, False),
        ("http://127.0.0.1:8001/w", LOCAL, False),
        ("http://localhost:8000/w", LOCAL, False),
        ("http://127.0.0.1:8000.evil.example/w", "http://127.0.0.1", None),
    ],
)
def test_the_key_goes_to_fal_and_to_the_base_and_nowhere_else(
    target: str, base: str, gets_the_key: bool | None
) -> None:
    if gets_the_key is None:
        with pytest.raises(BadTarget):
            resolve(target, fal_url=base, key=KEY)
        return
    found = resolve(target, fal_url=base, key=KEY)
    assert found.key == (KEY if gets_the_key else None)
    assert ("authorization" in request_headers(found)) == gets_the_key


PARTS = [
    "fal.run", "fal.run", "queue.", "evil.example", ".", "/", "@", ":", ":443", "?", "#", "\\",
    " ", "\t", "\n", "%2e", "%00", "\u3002", "\uff0f", "[", "]", "x",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
def test_the_key_goes_where_the_http_client_goes_or_nowhere(rest: str) -> None:
    try:
        found = resolve(f"https://{rest}", key=KEY)
    except (BadTarget, MissingKey):
        return
    if found.key is not None:
        assert httpx.URL(found.url).host in ("fal.run", "queue.fal.run")


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("target", ["workflows/o/n", "https://queue.fal.run/w"])
def test_fal_itself_is_not_called_without_a_key(target: str, key: str | None) -> None:
    with pytest.raises(MissingKey, match=r"^fal wants a key: set FAL_KEY \(.*\)$"):
        resolve(target, key=key)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} {KEY}", "sch\u00f6n", "\0"])
def test_a_key_that_fits_no_header_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(MissingKey) as raised:
        resolve("workflows/o/n", key=key)
    assert str(raised.value) == (
        "FAL_KEY is no key: it holds spaces, line ends or letters beyond ASCII"
    )
    assert resolve("http://other/w", key=key).key is None


@pytest.mark.parametrize(
    "target",
    [
        "",
        "sdxl-sticker",
        "fal-ai/fast-sdxl",
        "workflows",
        "workflows/",
        "workflows//n",
        "workflows/o/",
        "/workflows/o/n",
        "workflows/o/../n",
        "workflows/..",
        "workflows/./n",
        "workflows/o/.",
        "workflows/o/n?x=1",
        "workflows/o/n#x",
        "workflows/o n",
        "workflows/o/n\n",
        "workflows/\u00e9/n",
        "ftp://h/w",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//h/w",
        " http://h/w",
        "http://",
        "http:///w",
        "http://:80/w",
        "http://[",
        "http://[::1/w",
        "http://h:port/w",
        "http://h:99999/w",
        "http://h:-1/w",
        "http://h:0/w",
        "http://h/\x01",
        "http://h\n/w",
        "http://1.2.3.400/w",
        "http://\ud800/w",
        "http://h/\ud800",
        "http://h\u2100/w",
        "http://user@h/w",
        "http://user:pass@h/w",
        "http://@h/w",
        "http://:@h/w",
        "https://fal.run\\@h/w",
    ],
)
def test_what_is_neither_is_refused_in_one_line(target: str) -> None:
    with pytest.raises(BadTarget) as raised:
        resolve(target, key=KEY)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "base", ["", "nonsense", "ftp://h", "http://", "http://[", "http://h:99999", "http://u:p@h"]
)
@pytest.mark.parametrize("target", ["workflows/o/n", "http://other/w"])
def test_a_base_that_is_no_url_is_refused_in_one_line(base: str, target: str) -> None:
    with pytest.raises(BadTarget) as raised:
        resolve(target, fal_url=base, key=KEY)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://user:c4n4ry@h/w",
        "http://c4n4ry@[::1/w?token=c4n4ry",
        "ftp://user:c4n4ry@h/w?fal_jwt_token=c4n4ry",
        "http:/user:c4n4ry@h/w",
        "http://h:99999/w?fal_jwt_token=c4n4ry#c4n4ry",
    ],
)
def test_a_refusal_does_not_repeat_a_credential(target: str) -> None:
    with pytest.raises(BadTarget) as raised:
        resolve(target, key=KEY)
    assert "c4n4ry" not in str(raised.value)


def test_a_target_shows_neither_its_key_nor_a_token() -> None:
    target = Target("https://fal.run/w/stream?fal_jwt_token=c4n4ry", "w", KEY)
    assert repr(target) == "Target('https://fal.run/w/stream?fal_jwt_token=[redacted]')"
    assert "c4n4ry" not in f"{target} {pretty_repr(target)} {[target]}"


def test_the_request_asks_for_an_event_stream_without_compression() -> None:
    assert request_headers(Target("http://h/", "w", KEY)) == {
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": f"Key {KEY}",
    }


def test_a_silent_node_is_waited_for_and_a_dead_host_is_not() -> None:
    with new_client() as client:
        assert client.timeout == httpx.Timeout(None, connect=10.0)


@pytest.mark.parametrize(
    ("given", "key"), [("k:s", "k:s"), (" k:s\n", "k:s"), ("", None), (" \n", None), (None, None)]
)
def test_the_settings_take_a_key_without_the_space_around_it(given: Any, key: str | None) -> None:
    read = Settings(fal_key=given)
    assert read.key == key
    assert "k:s" not in repr(read)


@pytest.mark.parametrize(
    ("set_to", "queue", "api", "jwks"),
    [
        (
            {"fal_url": "https://fal.run/"},
            "https://queue.fal.run",
            "https://api.fal.ai",
            "https://rest.fal.ai/.well-known/jwks.json",
        ),
        (
            {"fal_url": "http://emulator:8400/"},
            "http://emulator:8400/queue",
            None,
            "http://emulator:8400/.well-known/jwks.json",
        ),
        (
            {"queue_url": "http://q/x", "api_url": "http://a/x/", "jwks_url": "http://k/x"},
            "http://q/x",
            "http://a/x",
            "http://k/x",
        ),
    ],
    ids=["fal's own", "another run host", "each by itself"],
)
def test_fals_other_addresses_go_with_the_run_host(
    set_to: dict[str, Any], queue: str, api: str | None, jwks: str
) -> None:
    read = Settings(fal_key=None, **set_to)
    assert (read.queue, read.api, read.jwks) == (queue, api, jwks)
