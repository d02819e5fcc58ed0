"""Requests that are too much: too long, too slow, in a circle, or such that they would lose their body."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.proxy.asking import Asking, Reply, asking
from tests.proxy.stage import SERVER_PROXY, STREAM, Stage, staged
from tests.proxy.test_money import new_workflow, problem_of
from tests.proxy.upstream import LAST_CHUNK, Upstream, chunk, fresh_id, sized

MOST_BYTES = 100_000


@pytest.fixture(scope="module")
def limited(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    with staged(new_database(), upstream, max_body_bytes=MOST_BYTES) as stage:
        yield stage


def test_the_longest_body_that_is_taken_arrives(limited: Stage) -> None:
    body = bytes(range(256)) * (MOST_BYTES // 256) + bytes(MOST_BYTES % 256)
    limited.upstream.answer(sized(fresh_id(), b"{}"))
    assert limited.through(STREAM, body=body).status == 200
    [request] = limited.upstream.requests
    assert request.partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 20 * MOST_BYTES])
def test_a_longer_one_is_refused_when_it_has_come(limited: Stage, size: int) -> None:
    limited.upstream.answer(sized(None, b"{}"))
    reply = limited.through(STREAM, body=bytes(size))
    assert problem_of(reply) == (413, "/problems/body-too-large", True)
    assert limited.upstream.connections == 0


def test_one_in_chunks_likewise(limited: Stage) -> None:
    limited.upstream.answer(sized(None, b"{}"))
    fields = [("transfer-encoding", "chunked")]
    with asking(limited.url, STREAM, fields=fields, body=b"") as client:
        client.connection.sendall(chunk(bytes(MOST_BYTES)) + chunk(b"x") + LAST_CHUNK)
        assert problem_of(client.read()) == (413, "/problems/body-too-large", True)
    assert limited.upstream.connections == 0


def test_a_body_in_chunks_arrives_whole(stage: Stage) -> None:
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    fields = [("transfer-encoding", "chunked")]
    with asking(stage.url, STREAM, fields=fields, body=b"") as client:
        client.connection.sendall(chunk(b'{"a":') + chunk(b" 1}") + LAST_CHUNK)
        assert client.read().status == 200
    [request] = stage.upstream.requests
    assert request.endswith(b'\r\nContent-Length: 8\r\n\r\n{"a": 1}')


def test_a_client_that_asks_whether_to_send_is_told_to(stage: Stage) -> None:
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    fields = [("expect", "100-continue"), ("content-length", "2")]
    with asking(stage.url, STREAM, fields=fields, body=b"") as client:
        assert client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.connection.sendall(b"{}")
        assert client.read().status == 200


def endless(client: Asking, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            client.connection.sendall(chunk(bytes(65_536)))
    except OSError:
        return


@pytest.mark.parametrize("kind", ["a byte is missing", "nothing comes", "it never ends"])
def test_a_body_that_does_not_come_to_its_end_is_given_up(
    upstream: Upstream, sqlite_url: str, kind: str
) -> None:
    upstream.answer(sized(None, b"{}"))
    stop = threading.Event()
    chunked = kind == "it never ends"
    field = ("transfer-encoding", "chunked") if chunked else ("content-length", "100")
    with (
        staged(sqlite_url, upstream, body_timeout_s=0.2, max_body_bytes=MOST_BYTES) as stage,
        asking(stage.url, STREAM, fields=[field], body=b"") as client,
    ):
        sending = threading.Thread(target=endless, args=(client, stop))
        if chunked:
            sending.start()
        elif kind == "a byte is missing":
            client.connection.sendall(bytes(99))
        told: Reply | None = None
        try:
            told = client.read()
            assert client.receive() == b""
        except ConnectionError:  # who sends on and on may lose the answer with the connection
            assert chunked
        if told is not None:
            assert problem_of(told) == (408, "/problems/body-too-slow", True)
            assert told.values("connection") == ["close"]
        stop.set()
        if chunked:
            sending.join()
    assert upstream.connections == 0


def test_a_request_that_has_been_through_here_is_not_sent_round_again(
    upstream: Upstream, sqlite_url: str
) -> None:
    """The upstream is the recorder itself: its first request to itself is its last."""
    upstream.answer(sized(None, b"{}"))
    with staged(sqlite_url, upstream) as first:
        own = first.url
    with staged(
        sqlite_url, upstream, fal_url=own, port=int(own.split(":")[2].split("/")[0])
    ) as stage:
        reply = stage.through(f"/{new_workflow()}")
    assert problem_of(reply) == (508, "/problems/forwarding-loop", True)


def test_two_recorders_in_a_row_are_no_circle(stage: Stage, sqlite_url: str) -> None:
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    with staged(sqlite_url, stage.upstream, fal_url=stage.url) as first:
        assert first.through(STREAM).status == 200
    [request] = stage.upstream.requests
    [via] = [line for line in request.split(b"\r\n") if line.lower().startswith(b"via:")]
    assert via.count(b"1.1 fal-flight-recorder-") == 2


UPGRADE = [
    ("connection", "Upgrade, HTTP2-Settings"),
    ("upgrade", "h2c"),
    ("http2-settings", "AAMA"),
]


@pytest.mark.parametrize("way_in", ["host-style", "server proxy"])
@pytest.mark.parametrize("how", ["with a length", "in chunks"])
def test_a_request_whose_body_the_server_would_lose_is_refused(
    stage: Stage, how: str, way_in: str
) -> None:
    """An empty input in its place would be a run that somebody pays for."""
    stage.upstream.answer(sized(None, b"{}"))
    base, path = (stage.url, STREAM) if way_in == "host-style" else (stage.server.url, SERVER_PROXY)
    chunked = how == "in chunks"
    fields = [*UPGRADE, ("x-fal-target-url", f"https://fal.run{STREAM}")]
    fields += [("transfer-encoding", "chunked")] if chunked else []
    with asking(base, path, fields=fields, body=b"" if chunked else b'{"seed": 1}') as client:
        if chunked:
            client.connection.sendall(chunk(b'{"seed": 1}') + LAST_CHUNK)
        assert problem_of(client.read()) == (400, "/problems/upgrade-refused", True)
    assert stage.upstream.connections == 0


def test_a_request_without_a_body_is_not_upgraded_and_goes_on(stage: Stage) -> None:
    stage.upstream.answer(sized(None, b"{}"))
    reply = stage.through("/queue/o/n/requests/1/status", method="GET", body=b"", fields=UPGRADE)
    assert reply.status == 200
    assert b"h2c" not in stage.upstream.requests[0].lower()
