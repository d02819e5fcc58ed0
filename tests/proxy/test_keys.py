"""The recorder's own key: who may have it used, where it goes, and that a client's own goes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.proxy.asking import Fields, Reply, ask
from tests.proxy.stage import CALL, SERVER_PROXY, STREAM, Stage, staged
from tests.proxy.test_money import problem_of
from tests.proxy.upstream import Upstream, fresh_id, sized

KEY = "own-id:own-secret"
TOKEN = "let-me-in"
OWN: Fields = [("Authorization", "Key their-id:their-secret")]
TOLD: Fields = [("x-recorder-token", TOKEN)]
REFUSED = (401, "/problems/not-authenticated", True)


def shown(upstream: Upstream) -> list[bytes]:
    """The credentials of each request that upstream has seen."""
    return [
        line.split(b": ", 1)[1]
        for request in upstream.requests
        for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if line.lower().startswith(b"authorization:")
    ]


def by_server_proxy(stage: Stage, target: str, fields: Fields = ()) -> Reply:
    fields = [*fields, ("x-fal-target-url", target)]
    return ask(stage.server.url, SERVER_PROXY, fields=fields)


@pytest.fixture(scope="module")
def closed(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    """A proxy that has a key and does not use it."""
    with staged(new_database(), upstream, fal_key=KEY) as stage:
        yield stage


@pytest.fixture(scope="module")
def open_(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    """A proxy that uses its key for everybody."""
    with staged(new_database(), upstream, fal_key=KEY, inject_key=True) as stage:
        yield stage


@pytest.fixture(scope="module")
def guarded(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    """A proxy that uses its key for whoever knows the token."""
    with staged(new_database(), upstream, fal_key=KEY, inject_key=True, token=TOKEN) as stage:
        yield stage


@pytest.mark.parametrize("path", [STREAM, CALL, f"/queue{CALL}"])
def test_a_key_is_not_used_by_itself(closed: Stage, path: str) -> None:
    closed.upstream.answer(sized(fresh_id(), b"{}"))
    assert closed.through(path).status == 200
    assert closed.through(path, fields=TOLD).status == 200
    assert (len(closed.upstream.requests), shown(closed.upstream)) == (2, [])


@pytest.mark.parametrize("path", [STREAM, CALL, f"/queue{CALL}", "/fal-ai/app"])
def test_where_that_is_set_it_goes_with_requests_that_have_none(open_: Stage, path: str) -> None:
    open_.upstream.answer(sized(fresh_id(), b"{}"))
    assert open_.through(path).status == 200
    assert by_server_proxy(open_, f"https://fal.run{CALL}").status == 200
    assert shown(open_.upstream) == [b"Key own-id:own-secret"] * 2


@pytest.mark.parametrize("value", ["Key their-id:their-secret", "Bearer their-token", "", "x"])
def test_a_clients_own_key_goes_as_it_is_and_ours_stays(guarded: Stage, value: str) -> None:
    own: Fields = [("AUTHORIZATION", value)]
    guarded.upstream.answer(sized(fresh_id(), b"{}"))
    assert guarded.through(STREAM, fields=own).status == 200
    assert by_server_proxy(guarded, f"https://fal.run{CALL}", own).status == 200
    assert shown(guarded.upstream) == [value.encode()] * 2


@pytest.mark.parametrize(
    "query", ["?fal_jwt_token=theirs", "?a=1&fal%5Fjwt%5Ftoken=", "?fal_jwt_token"]
)
def test_a_clients_own_token_in_the_query_is_a_key_too(guarded: Stage, query: str) -> None:
    guarded.upstream.answer(sized(fresh_id(), b"{}"))
    assert guarded.through(STREAM + query).status == 200
    assert by_server_proxy(guarded, f"https://fal.run{CALL}{query}").status == 200
    assert shown(guarded.upstream) == []


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("x-recorder-token", "")],
        [("x-recorder-token", TOKEN[:-1])],
        [("x-recorder-token", TOKEN + "x")],
        [("x-recorder-token", TOKEN.upper())],
        [("x-recorder-token", "\u00e9")],
        [("x-recorder-token", "wrong"), ("x-recorder-token", TOKEN)],
        [("authorisation", "Key id:secret")],
        [("proxy-authorization", TOKEN)],
        [("cookie", f"x-recorder-token={TOKEN}")],
    ],
    ids=ascii,
)
def test_without_the_token_nothing_is_sent(guarded: Stage, fields: Fields) -> None:
    guarded.upstream.answer(sized(None, b"{}"))
    before = guarded.head()
    assert problem_of(guarded.through(STREAM, fields=fields)) == REFUSED
    assert problem_of(by_server_proxy(guarded, f"https://fal.run{CALL}", fields)) == REFUSED
    assert guarded.upstream.connections == 0
    assert guarded.head() == before


def test_the_token_does_not_stand_in_a_query(guarded: Stage) -> None:
    guarded.upstream.answer(sized(None, b"{}"))
    reply = guarded.through(f"{STREAM}?x-recorder-token={TOKEN}")
    assert (problem_of(reply), guarded.upstream.connections) == (REFUSED, 0)


def test_who_knows_the_token_has_the_key_used_and_the_token_goes_no_further(
    guarded: Stage,
) -> None:
    guarded.upstream.answer(sized(fresh_id(), b"{}"))
    assert guarded.through(STREAM, fields=TOLD).status == 200
    assert by_server_proxy(guarded, f"https://queue.fal.run{CALL}", TOLD).status == 200
    assert shown(guarded.upstream) == [b"Key own-id:own-secret"] * 2
    assert TOKEN.encode() not in b"".join(guarded.upstream.requests)


def test_the_key_goes_to_fals_hosts_alone(upstream: Upstream, sqlite_url: str) -> None:
    """Another origin that is allowed gets the request and, where the client has one, its key."""
    with (
        Upstream() as other,
        staged(sqlite_url, upstream, fal_key=KEY, inject_key=True, allow=(other.url,)) as stage,
    ):
        other.answer(sized(None, b"{}"))
        assert by_server_proxy(stage, f"{other.url}/upload").status == 200
        assert by_server_proxy(stage, f"{other.url}/upload", OWN).status == 200
        assert shown(other) == [b"Key their-id:their-secret"]
        assert b"own-secret" not in b"".join(other.requests)
