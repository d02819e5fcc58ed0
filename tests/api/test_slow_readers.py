"""Readers that stop reading, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

import recorder
from api.proxy.app import is_for_proxy
from api.server import ApiServer
from api.slow_readers import WRITE_BYTES, DropsSlowReaders, SmallWrites
from recorder.bootstrap import Recorder
from recorder.settings import Settings
from tests.api.conftest import client_of
from tests.api.stalled import Warnings, ask, warnings_of
from tests.builders import history, output

LARGE = output("x" * 5_000_000)  # more than the system holds for a connection


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    with warnings_of("api") as found:
        yield found


@pytest.fixture
def impatient(sqlite_url: str) -> Iterator[Recorder]:
    """A recorder whose service drops a reader at once, the run `run` of 20 MB in it."""
    settings = Settings(database_url=sqlite_url, fal_key=None, reader_patience_s=0.01)
    with recorder.open(sqlite_url, settings=settings) as rec:
        rec.log.append(history("run", *[LARGE] * 4))
        yield rec


@pytest.mark.parametrize("path", ["/api/v1/runs/run/body", "/api/v1/runs/run/events"])
def test_a_reader_that_stops_reading_is_dropped_and_the_log_says_why(
    impatient: Recorder, warnings: Warnings, path: str
) -> None:
    with ApiServer(impatient) as server, ask(server, path) as stalled:
        warnings.wait_for_one()
        received = stalled.makefile("rb").read()  # ends, though not where the answer does
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(received) < len(LARGE)
        with client_of(server) as http:
            assert http.get("/api/v1/runs/run").status_code == 200
    [message] = warnings.messages
    reason, _, unsent = message.partition(", ")
    assert reason == f"{path}: the reader has taken nothing for 0.01 s and is dropped"
    assert int(unsent.removesuffix(" bytes unsent")) > 0


def test_a_reader_that_reads_gets_all_of_it(sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(history("run", *[LARGE] * 4))
    with ApiServer(sqlite_rec) as server, client_of(server) as http:
        assert http.get("/api/v1/runs/run/body").content == LARGE * 4


class _Connection(asyncio.Transport):
    """A transport with so much waiting."""

    def __init__(self, unsent_bytes: int) -> None:
        super().__init__()
        self.unsent_bytes = unsent_bytes
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.aborted = True


class _Protocol(DropsSlowReaders):
    patience_s = 3_600
    passes_through = staticmethod(is_for_proxy)


def looks_at(*unsent_bytes: int) -> list[bool]:
    """Whether a reader has been dropped, after each look at what waits for it."""

    async def look() -> list[bool]:
        reader, connection = _Protocol(), _Connection(1_000)
        reader.connection_made(connection)
        reader.pause_writing()
        dropped = []
        for connection.unsent_bytes in unsent_bytes:
            reader.look()
            dropped.append(connection.aborted)
        reader.connection_lost(None)
        return dropped

    return asyncio.run(look())


def test_a_reader_that_takes_anything_at_all_is_given_more_time() -> None:
    assert looks_at(999, 500, 499, 1) == [False, False, False, False]


def test_a_reader_that_takes_nothing_from_one_look_to_the_next_is_dropped() -> None:
    assert looks_at(1_000) == [True]
    assert looks_at(999, 999) == [False, True]


def test_nobody_looks_at_a_reader_that_has_caught_up_or_gone() -> None:
    async def timers() -> list[object]:
        found: list[object] = []
        for goes_on in (_Protocol.resume_writing, lambda each: each.connection_lost(None)):
            reader = _Protocol()
            reader.connection_made(_Connection(1_000))
            reader.pause_writing()
            timer = reader._look_again
            goes_on(reader)
            assert timer is not None
            found += [timer.cancelled(), reader._look_again]
        return found

    assert asyncio.run(timers()) == [True, None, True, None]


def test_an_answer_that_only_passes_through_is_not_ours_to_end() -> None:
    async def timer() -> object:
        reader = _Protocol()
        reader.scope = {"path": "/fal/workflows/o/n/stream"}
        reader.connection_made(_Connection(1_000))
        reader.pause_writing()
        return reader._look_again

    assert asyncio.run(timer()) is None


def sent_through(path: str, *messages: Message) -> list[Message]:
    """What reaches the server of these messages."""
    sent: list[Message] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path}
    asyncio.run(SmallWrites(app, below="/api/v1/")(scope, receive, send))
    return sent


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("size_bytes", [0, WRITE_BYTES, WRITE_BYTES + 1, 3 * WRITE_BYTES])
def test_a_large_answer_goes_out_in_pieces(size_bytes: int, more: bool) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    body = bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256)
    whole = {"type": "http.response.body", "body": body, "more_body": more}
    first, *pieces = sent_through("/api/v1/runs", start, whole)
    assert first == start
    assert b"".join(piece["body"] for piece in pieces) == body
    assert max(len(piece["body"]) for piece in pieces) <= WRITE_BYTES
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [more]


def test_what_passes_through_keeps_its_writes() -> None:
    whole = {"type": "http.response.body", "body": bytes(WRITE_BYTES + 1), "more_body": True}
    assert sent_through("/fal/workflows/o/n/stream", whole) == [whole]
