"""Bytes pass untouched and at once, and what was sent is what is recorded."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import completion, output, submit
from tests.core.test_sse_decoder import cut_bodies
from tests.proxy.asking import Reply, asking
from tests.proxy.stage import CALL, STREAM, Stage
from tests.proxy.upstream import (
    LAST_CHUNK,
    Do,
    Step,
    chunk,
    chunked_head,
    fresh_id,
    head,
    sized,
)
from tests.trust.hostile.answers import ANSWERS
from tests.trust.hostile.cases import CASES

BODIES = [name for name in CASES if name != "ten-thousand-nodes"]  # that one is for the fold
PIECE_BYTES = 64 * 1024
PING = b": ping - 2025-01-01 00:00:00\r\n\r\n"
OF_A_HOP = {"connection", "date", "transfer-encoding"}


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def seen(reply: Reply) -> tuple[object, ...]:
    """What a client sees of an answer: all but what belongs to its own connection."""
    fields = [field for field in reply.fields if field[0] not in OF_A_HOP]
    return reply.status, fields, sha256(reply.body), reply.whole


def pieces(body: bytes) -> list[bytes]:
    return [chunk(body[start : start + PIECE_BYTES]) for start in range(0, len(body), PIECE_BYTES)]


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_arrives_and_is_recorded_byte_for_byte(stage: Stage, name: str) -> None:
    body, request_id = CASES[name].make(), fresh_id()
    stage.upstream.answer(chunked_head(request_id), *pieces(body), LAST_CHUNK)
    direct, through = stage.both()
    assert seen(through) == seen(direct)
    assert sha256(through.body) == sha256(stage.body(request_id)) == sha256(body)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_arrives_and_is_recorded_as_it_is(stage: Stage, name: str) -> None:
    case, request_id = ANSWERS[name], fresh_id()
    stage.upstream.answer(case.head(request_id), case.make())
    direct, through = stage.both()
    assert seen(through) == seen(direct)
    assert sha256(through.body) == sha256(stage.body(request_id)) == sha256(case.make())


@settings(max_examples=40, deadline=None)
@given(cut_bodies() | st.tuples(st.binary(max_size=400), st.just([3, 20])))
def test_any_body_in_any_chunks_arrives_and_is_recorded(
    stage: Stage, cut_body: tuple[bytes, list[int]]
) -> None:
    body, cuts = cut_body
    request_id = fresh_id()
    places = pairwise([0, *sorted(cuts), len(body)])
    chunks = [chunk(body[start:end]) for start, end in places if body[start:end]]
    stage.upstream.answer(chunked_head(request_id), *chunks, LAST_CHUNK)
    assert stage.through().body == body
    assert stage.body(request_id) == body


def test_each_chunk_is_one_write_and_goes_on_before_the_next_one_comes(stage: Stage) -> None:
    """Upstream sends a chunk only when the client has the one before; pings are chunks as well."""
    split = "data: é\r\n\r\n".encode()
    written = [submit("a"), PING, split[:7], split[7:], b"x", completion("a") + output(), PING]
    ready = [threading.Event() for _ in written]
    steps: list[Step] = []
    for piece, event in zip(written, ready, strict=True):
        steps += [event, chunk(piece)]
    end, request_id = threading.Event(), fresh_id()
    stage.upstream.answer(chunked_head(request_id), *steps, end, LAST_CHUNK)
    with asking(stage.url, STREAM) as client:
        client.read_head()
        for piece, event in zip(written, ready, strict=True):
            event.set()
            assert client.receive() == chunk(piece)
        end.set()
        assert client.receive() == LAST_CHUNK
    assert stage.body(request_id) == b"".join(written)


def test_the_last_chunk_and_the_end_that_came_with_it_are_one_write(stage: Stage) -> None:
    seen_by_client, request_id = threading.Event(), fresh_id()
    stage.upstream.answer(chunked_head(request_id), seen_by_client, chunk(output()) + LAST_CHUNK)
    with asking(stage.url, STREAM) as client:
        client.read_head()
        seen_by_client.set()
        assert client.receive() == chunk(output()) + LAST_CHUNK
    assert stage.body(request_id) == output()


def test_status_and_headers_go_on_before_there_is_a_body(stage: Stage) -> None:
    seen_by_client = threading.Event()
    stage.upstream.answer(chunked_head(fresh_id()), seen_by_client, LAST_CHUNK)
    with asking(stage.url, STREAM) as client:
        client.read_head()
        seen_by_client.set()
        assert client.read_rest() == Reply(200, client.fields, b"", [], whole=True)


@pytest.mark.parametrize("accepts", ["gzip", "gzip, deflate, br, zstd", "identity;q=0"])
def test_nothing_is_compressed_on_the_way(stage: Stage, accepts: str) -> None:
    request_id = fresh_id()
    body = submit("a") * 1_000 + output()
    stage.upstream.answer(chunked_head(request_id), chunk(body), LAST_CHUNK)
    reply = stage.through(fields=[("Accept-Encoding", accepts)])
    [request] = stage.upstream.requests
    asked = [line for line in request.split(b"\r\n") if line.lower().startswith(b"accept-encoding")]
    assert asked == [b"accept-encoding: identity"]
    assert (reply.body, reply.values("content-encoding")) == (body, [])


ODD_FIELDS = [
    "x-fal-billable-units: 1.5",
    "x-fal-served-from: somewhere",
    "X-FAL-Error-Type: request_timeout",
    "x-fal-request-timeout-type: user",
    "retry-after: 7",
    "cache-control: no-store",
    "location: https://elsewhere.example/",
    "x-accel-buffering: no",
    "x-odd: caf\u00e9",
    "x-twice: one",
    "x-twice: two",
    "x-empty:",
    f"x-long: {'y' * 30_000}",
]
STATUSES = [200, 201, 202, 206, 226, 299, 300, 301, 303, 307, 308, 400, 401, 402, 403, 404, 405]
STATUSES += [408, 409, 410, 413, 418, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 520, 599]


@pytest.mark.parametrize("path", [STREAM, CALL])
@pytest.mark.parametrize("status", STATUSES)
def test_an_answer_keeps_its_status_headers_and_body(stage: Stage, status: int, path: str) -> None:
    request_id = fresh_id()
    body = b'{"detail": "as it is"}'
    stage.upstream.answer(sized(request_id, body, *ODD_FIELDS, status=f"{status} Some Words"))
    direct, through = stage.both(path)
    assert seen(through) == seen(direct)
    assert through.values("content-length") == [str(len(body))]
    assert stage.body(request_id) == body


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [[], ["content-length: 5"]])
def test_an_answer_that_has_no_body_has_none(stage: Stage, status: int, fields: list[str]) -> None:
    request_id = fresh_id()
    stage.upstream.answer(head(request_id, *fields, status=f"{status} Nothing"))
    reply = stage.through()
    assert (reply.status, reply.body, reply.values("content-length")) == (status, b"", [])
    assert stage.run(request_id).close_reason == ("eof" if status == 204 else "refused")


def test_a_head_request_tells_the_length_of_what_it_does_not_bring(stage: Stage) -> None:
    stage.upstream.answer(head(None, "content-length: 5000"))
    direct, through = stage.both(method="HEAD", body=b"")
    assert seen(through) == seen(direct)
    assert through.values("content-length") == ["5000"]


def test_interim_answers_do_not_count(stage: Stage) -> None:
    request_id = fresh_id()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    stage.upstream.answer(interim, sized(request_id, b"{}"))
    direct, through = stage.both(CALL)
    assert seen(through) == seen(direct)


def test_a_body_that_ends_with_its_connection_arrives_whole(stage: Stage) -> None:
    request_id = fresh_id()
    stage.upstream.answer(head(request_id), submit("a"), output())
    direct, through = stage.both()
    assert seen(through) == seen(direct)
    assert stage.run(request_id).close_reason == "eof"


HEADS: dict[str, tuple[Callable[[str], bytes], Callable[[bytes], bytes]]] = {
    "chunks": (chunked_head, chunk),
    "a length": (lambda request_id: head(request_id, "content-length: 9999"), bytes),
    "neither": (head, bytes),
}
CUTS = [("chunks", ()), ("a length", ())] + [(kind, (Do.RESET,)) for kind in HEADS]


@pytest.mark.parametrize(("kind", "ending"), CUTS)
def test_a_cut_is_a_cut(stage: Stage, kind: str, ending: tuple[Do, ...]) -> None:
    """The connection ends, in good order or reset, once the client has what came before."""
    request_id, sent = fresh_id(), submit("a") + completion("a")[:9]
    make_head, framed = HEADS[kind]
    views = []
    for base in (stage.upstream.url, stage.url):
        taken = threading.Event()
        stage.upstream.answer(make_head(request_id), framed(sent), taken, *ending)
        with asking(base, STREAM) as client:
            client.read_head()
            received = b""
            while sent not in received:
                received += client.receive()
            taken.set()
            views.append((client.status, received.count(sent), client.read_rest().whole))
    assert views == [(200, 1, False)] * 2
    assert stage.run(request_id).close_reason == "cut"
    assert stage.body(request_id) == sent
