"""Small documents over HTTP: whole, or an error without a secret in it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from recorder.errors import SourceError
from recorder.sources.fetching import fetch, new_async_client
from tests.serving import Page, site

SECRET = "id:not-a-real-key"


def got(url: str, *, limit_bytes: int = 100, timeout_s: float = 30, **headers: str) -> bytes:
    async def get() -> bytes:
        async with new_async_client() as client:
            return await fetch(
                client, url, headers=headers, limit_bytes=limit_bytes, timeout_s=timeout_s
            )

    return asyncio.run(get())


def test_the_body_comes_as_it_is_and_what_is_sent_is_asked_for_in_plain() -> None:
    with site({"/a": Page(b"\x1f\x8bx" * 10, headers={"content-encoding": "gzip"})}) as served:
        assert got(f"{served.url}/a", authorization="Key k") == b"\x1f\x8bx" * 10
        [asked] = served.asked
    assert (asked.method, asked.headers["authorization"]) == ("GET", "Key k")
    assert asked.headers["accept-encoding"] == "identity"


def test_a_redirect_is_not_followed() -> None:
    pages = {"/a": Page(status=302, headers={"location": "/b"}), "/b": Page(b"b")}
    with site(pages) as served, pytest.raises(SourceError, match="/a answered 302"):
        got(f"{served.url}/a")
    assert [asked.path for asked in served.asked] == ["/a"]


@pytest.mark.parametrize("status", [204, 404, 500])
def test_only_a_200_is_an_answer(status: int) -> None:
    with (
        site({"/a": Page(status=status)}) as served,
        pytest.raises(SourceError, match=f"answered {status}"),
    ):
        got(f"{served.url}/a")


def test_a_body_over_the_limit_is_refused() -> None:
    with site({"/a": Page(b"x" * 101), "/b": Page(b"x" * 100)}) as served:
        with pytest.raises(SourceError, match="sent more than 100 bytes"):
            got(f"{served.url}/a")
        assert len(got(f"{served.url}/b")) == 100


def test_a_server_that_does_not_answer_is_given_up() -> None:
    never = threading.Event()
    with site({"/a": Page(ready=never)}) as served:
        with pytest.raises(SourceError, match="/a did not answer in time"):
            got(f"{served.url}/a", timeout_s=0.05)
        never.set()


def test_no_server_no_url_and_no_header_are_errors_that_tell_no_secret() -> None:
    with site() as gone:
        pass
    for url, header in [
        (f"{gone.url}/a?key={SECRET}", "fine"),
        ("nonsense", "fine"),
        ("http://[::1/", "fine"),
        ("http://\x00/", "fine"),
        (f"{gone.url}/a", f"{SECRET}\n"),
        (f"{gone.url}/a", f"{SECRET}ü"),
    ]:
        with pytest.raises(SourceError) as raised:
            got(url, authorization=header)
        assert SECRET not in str(raised.value)
