"""Web pages: those of origins that are allowed use the proxy, all others have nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.proxy.asking import Fields, Reply, ask
from tests.proxy.silences import SILENCES
from tests.proxy.stage import SERVER_PROXY, STREAM, Stage, staged
from tests.proxy.test_money import problem_of
from tests.proxy.upstream import Upstream, fresh_id, sized

PAGE = "https://app.example"
REFUSED = (403, "/problems/origin-refused", True)
EXPOSED = "x-fal-request-id, x-fal-billable-units, x-fal-error-type, x-fal-served-from"


def cors(reply: Reply) -> dict[str, list[str]]:
    """What an answer tells the browser, every value."""
    names = {name for name, _ in reply.fields if name.startswith("access-control-")}
    return {name.removeprefix("access-control-"): reply.values(name) for name in names}


@pytest.fixture(scope="module")
def allowing(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    with staged(new_database(), upstream, origins=(PAGE, "http://localhost:3000")) as stage:
        yield stage


OTHERS = [
    "https://evil.example",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://xapp.example",
    "https://APP.example",
    "https://app.example/",
    "https://app.example, https://evil.example",
    "http://localhost",
    "http://localhost:3001",
    "null",
    "",
    "file://",
    "*",
]


@pytest.mark.parametrize("origin", OTHERS)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
def test_a_page_of_another_origin_has_nothing_sent(
    allowing: Stage, origin: str, method: str
) -> None:
    allowing.upstream.answer(sized(None, b"{}"))
    fields = [("Origin", origin), ("access-control-request-method", "POST")]
    reply = allowing.through(STREAM, method=method, body=b"", fields=fields)
    assert (problem_of(reply), cors(reply)) == (REFUSED, {})
    assert allowing.upstream.connections == 0


def test_without_the_setting_no_page_of_another_origin_is_allowed(stage: Stage) -> None:
    stage.upstream.answer(sized(None, b"{}"))
    reply = stage.through(STREAM, fields=[("Origin", PAGE)])
    assert (problem_of(reply), cors(reply), stage.upstream.connections) == (REFUSED, {}, 0)


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_a_page_of_an_allowed_origin_may_read_the_answer(allowing: Stage, origin: str) -> None:
    """What upstream says about it does not stand beside what we say: browsers refuse both then."""
    theirs = ["access-control-allow-origin: *", "Access-Control-Expose-Headers: x-other"]
    allowing.upstream.answer(sized(fresh_id(), b"{}", *theirs))
    reply = allowing.through(STREAM, fields=[("Origin", origin)])
    assert (reply.status, reply.values("vary")) == (200, ["origin"])
    assert cors(reply) == {"allow-origin": [origin], "expose-headers": [EXPOSED]}
    assert b"origin" not in allowing.upstream.requests[0].lower()


def test_it_may_read_why_there_is_no_answer(allowing: Stage) -> None:
    allowing.upstream.answer(*SILENCES["closes"])
    silent = allowing.through(STREAM, fields=[("Origin", PAGE)])
    refused = ask(allowing.server.url, SERVER_PROXY, fields=[("Origin", PAGE)])
    assert [silent.status, refused.status] == [500, 400]
    assert [cors(silent)["allow-origin"], cors(refused)["allow-origin"]] == [[PAGE], [PAGE]]


@pytest.mark.parametrize("path", [f"/fal{STREAM}", SERVER_PROXY])
def test_a_browser_that_asks_first_is_told_and_nothing_is_sent(allowing: Stage, path: str) -> None:
    allowing.upstream.answer(sized(None, b"{}"))
    asked: Fields = [
        ("Origin", PAGE),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type,x-fal-target-url"),
    ]
    reply = ask(allowing.server.url, path, method="OPTIONS", fields=asked, body=b"")
    assert (reply.status, reply.body, allowing.upstream.connections) == (204, b"", 0)
    assert cors(reply) == {
        "allow-origin": [PAGE],
        "allow-methods": ["GET, POST, PUT"],
        "allow-headers": ["content-type,x-fal-target-url"],
        "expose-headers": [EXPOSED],
        "max-age": ["600"],
    }


def test_all_origins_can_be_allowed(upstream: Upstream, sqlite_url: str) -> None:
    upstream.answer(sized(fresh_id(), b"{}"))
    with staged(sqlite_url, upstream, origins=("*",)) as stage:
        reply = stage.through(STREAM, fields=[("Origin", "https://any.example")])
    assert cors(reply)["allow-origin"] == ["https://any.example"]


def test_the_recorders_own_pages_need_no_permission(stage: Stage) -> None:
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    reply = stage.through(STREAM, fields=[("Origin", "http://recorder")])
    assert (reply.status, cors(reply)) == (200, {})
