"""Where a request may go, decided by one parse: a table of what is let through and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.proxy.targets import STORAGE_URLS, Target, Targets
from recorder.errors import BadTarget
from tests.proxy.addresses import AUTHORITIES, LITERALS, PATHS

TARGETS = Targets("https://fal.run", "https://queue.fal.run")
ELSEWHERE = Targets("http://127.0.0.1:8400", "http://127.0.0.1:8400/queue", ["https://rest.fal.ai"])
INITIATE = "https://rest.fal.ai/storage/upload/initiate"


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://fal.run/workflows/o/n/stream", "run", "/workflows/o/n/stream"),
        ("https://fal.run:443/workflows/o/n", "run", "/workflows/o/n"),
        ("https://fal.run", "run", "/"),
        ("https://fal.run/", "run", "/"),
        ("https://fal.run/fal-ai/flux-1.1_x~y/v2+a", "run", "/fal-ai/flux-1.1_x~y/v2+a"),
        ("https://fal.run/a?b=c&d=%20%C3%A9;e/f?g", "run", "/a?b=c&d=%20%C3%A9;e/f?g"),
        ("https://fal.run/a%20b", "run", "/a%20b"),
        ("https://fal.run/.well-known/jwks.json", "run", "/.well-known/jwks.json"),
        ("https://queue.fal.run/o/n/requests/1", "queue", "/o/n/requests/1"),
        (
            "https://queue.fal.run/o/n?fal_webhook=https://x.test/y?z=1",
            "queue",
            "/o/n?fal_webhook=https://x.test/y?z=1",
        ),
    ],
)
def test_fals_own_addresses_are_dialled_as_they_are(url: str, host: str, path: str) -> None:
    base = "https://fal.run" if host == "run" else "https://queue.fal.run"
    assert TARGETS.named(url) == Target(host, base + path, path)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", sorted(STORAGE_URLS))
def test_the_upload_addresses_are_open_to_the_letter(url: str) -> None:
    target = TARGETS.named(url)
    assert (target.url, target.host, TARGETS.may_see_key(target)) == (url, "other", True)


@pytest.mark.parametrize(
    "url",
    [
        INITIATE,
        f"{INITIATE}?storage_type=fal-cdn",
        f"{INITIATE}?storage_type=fal-cdn-v3&x=y",
        f"{INITIATE}?x=y&storage_type=fal-cdn-v3",
        f"{INITIATE}/?storage_type=fal-cdn-v3",
        f"{INITIATE}-multipart?storage_type=fal-cdn-v3",
        "https://rest.fal.ai/",
        "https://rest.fal.ai/tokens/",
        "https://rest.alpha.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3",
        "http://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3",
    ],
)
def test_nothing_beside_them_is(url: str) -> None:
    with pytest.raises(BadTarget):
        TARGETS.named(url)


def test_what_stands_for_fal_is_dialled_in_its_place() -> None:
    run = ELSEWHERE.named("https://fal.run/workflows/o/n")
    queue = ELSEWHERE.named("https://queue.fal.run/workflows/o/n")
    assert [run.url, queue.url] == [
        "http://127.0.0.1:8400/workflows/o/n",
        "http://127.0.0.1:8400/queue/workflows/o/n",
    ]
    for url in ("http://127.0.0.1:8400/workflows/o/n", "http://127.0.0.1:8400/"):
        with pytest.raises(BadTarget):
            ELSEWHERE.named(url)


@pytest.mark.parametrize(
    ("allowed", "url", "dialled"),
    [
        ("https://h:443", "https://h/a", "https://h/a"),
        ("https://h", "https://h:443/a", "https://h/a"),
        ("http://h:443", "http://h:443/a", "http://h:443/a"),
        ("http://h:80", "http://h/a", "http://h/a"),
        ("http://h", "http://h:443/a", None),
        ("https://h", "https://h:80/a", None),
    ],
)
def test_the_port_that_is_named_is_the_one_that_is_dialled(
    allowed: str, url: str, dialled: str | None
) -> None:
    targets = Targets("https://fal.run", "https://queue.fal.run", [allowed])
    if dialled is not None:
        assert targets.named(url).url == dialled
        return
    with pytest.raises(BadTarget):
        targets.named(url)


def test_an_origin_that_is_allowed_is_open_and_sees_no_key() -> None:
    target = ELSEWHERE.named("https://rest.fal.ai/any/path?at=all")
    assert (target.url, target.host) == ("https://rest.fal.ai/any/path?at=all", "other")
    assert not ELSEWHERE.may_see_key(target)


@pytest.mark.parametrize("path", ["", "/", "/workflows/fal-ai/sdxl-sticker/stream"])
@pytest.mark.parametrize("authority", AUTHORITIES, ids=ascii)
def test_no_other_authority_is_let_through(authority: str, path: str) -> None:
    for targets in (TARGETS, ELSEWHERE):
        with pytest.raises(BadTarget):
            targets.named(f"{authority}{path}")


@pytest.mark.parametrize("port", ["", ":443", ":80", ":8400"])
@pytest.mark.parametrize("literal", LITERALS, ids=ascii)
def test_no_address_of_this_machine_or_its_network_is(literal: str, port: str) -> None:
    for scheme in ("https", "http"):
        with pytest.raises(BadTarget):
            TARGETS.named(f"{scheme}://{literal}{port}/workflows/o/n/stream")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[:30])
def test_no_path_is_let_through_that_could_be_read_in_two_ways(path: str) -> None:
    for base in ("https://fal.run", "https://queue.fal.run", "https://rest.fal.ai"):
        with pytest.raises(BadTarget):
            ELSEWHERE.named(base + path)
    with pytest.raises(BadTarget):
        TARGETS.on_host("run", path)


@given(st.text(max_size=60))
def test_no_text_is_dialled_at_another_host(text: str) -> None:
    for url in (text, f"https://{text}", f"https://fal.run{text}", f"https://fal.run/{text}"):
        try:
            target = TARGETS.named(url)
        except BadTarget:
            continue
        assert target.url.startswith(("https://fal.run/", "https://queue.fal.run/"))
        assert target.url.isascii()
        assert target.url.isprintable()
