"""Clients that leave: what they paid for is in the log to its end, unless hanging up is configured."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from starlette.types import Message, Scope

from api import stage as playing
from api.hosts import Hosts
from api.live import Live
from api.proxy.app import Proxy
from api.proxy.client import CONNECTION
from api.streams import Streams
from recorder.capture import Capture
from recorder.events import Closed
from tests.builders import completion, output, submit
from tests.proxy.asking import Asking, asking
from tests.proxy.stage import CALL, STREAM, Stage, staged
from tests.proxy.upstream import (
    LAST_CHUNK,
    WAIT_S,
    Do,
    Push,
    Upstream,
    chunk,
    chunked_head,
    fresh_id,
    sized,
)

STARTED = submit("a")
REST = completion("a") + output()


def close(client: Asking) -> None:
    client.leave()


def reset(client: Asking) -> None:
    linger_no_time = struct.pack("ii", 1, 0)
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
    client.leave()


def half_close(client: Asking) -> None:
    """Servers cannot tell it from leaving, while they have nothing to write."""
    client.connection.shutdown(socket.SHUT_WR)


WAYS = [close, reset, half_close]


def ending(stage: Stage, request_id: str) -> tuple[str, str | None, bool]:
    """A run's status, why it was closed, and whether the log says when the client left."""
    run = stage.run(request_id)
    closed = stage.events(request_id)[-1].event
    assert isinstance(closed, Closed)
    return run.status, run.close_reason, closed.left_us is not None


class TestAClientWhoLeaves:
    @pytest.mark.parametrize("leave", WAYS)
    def test_in_the_middle_of_a_stream_has_its_run_read_to_the_end(
        self, stage: Stage, leave: Callable[[Asking], None]
    ) -> None:
        request_id, go = fresh_id(), threading.Event()
        stage.upstream.answer(
            chunked_head(request_id),
            chunk(STARTED),
            go,
            chunk(REST[:9]),
            chunk(REST[9:]),
            LAST_CHUNK,
        )
        with asking(stage.url, STREAM) as client:
            client.read_head()
            assert client.read_chunk() == STARTED
            leave(client)
            stage.let_it_notice()
            go.set()
            assert stage.body(request_id) == STARTED + REST
        assert ending(stage, request_id) == ("cancelled", "client_gone", True)
        assert [step.status for step in stage.run(request_id).ordered_steps()] == ["completed"]

    @pytest.mark.parametrize("leave", WAYS)
    @pytest.mark.parametrize("path", [STREAM, CALL])
    def test_before_the_answer_has_it_recorded_whole(
        self, stage: Stage, path: str, leave: Callable[[Asking], None]
    ) -> None:
        request_id, go = fresh_id(), threading.Event()
        stage.upstream.answer(go, chunked_head(request_id), chunk(STARTED + REST), LAST_CHUNK)
        with asking(stage.url, path) as client:
            stage.upstream.wait_until_asked()
            leave(client)
            stage.let_it_notice()
            go.set()
            assert stage.body(request_id) == STARTED + REST
        assert ending(stage, request_id) == ("cancelled", "client_gone", True)

    def test_and_an_upstream_that_is_cut_afterwards(self, stage: Stage) -> None:
        request_id, go = fresh_id(), threading.Event()
        stage.upstream.answer(chunked_head(request_id), chunk(STARTED), go)
        with asking(stage.url, STREAM) as client:
            client.read_head()
        stage.let_it_notice()
        go.set()
        assert stage.body(request_id) == STARTED
        assert ending(stage, request_id) == ("cancelled", "client_gone", True)

    def test_once_it_has_the_output_has_not_cancelled_anything(self, stage: Stage) -> None:
        request_id, go = fresh_id(), threading.Event()
        stage.upstream.answer(
            chunked_head(request_id), chunk(STARTED + REST), go, chunk(b": bye\n\n"), LAST_CHUNK
        )
        with asking(stage.url, STREAM) as client:
            client.read_head()
            assert client.read_chunk() == STARTED + REST
        stage.let_it_notice()
        go.set()
        assert stage.body(request_id) == STARTED + REST + b": bye\n\n"
        assert ending(stage, request_id) == ("completed", "eof", False)

    def test_once_it_has_a_plain_answer_has_not_either(self, stage: Stage) -> None:
        request_id = fresh_id()
        stage.upstream.answer(sized(request_id, b'{"images": []}'))
        with asking(stage.url, CALL) as client:
            assert client.read().body == b'{"images": []}'
        assert ending(stage, request_id) == ("completed", "eof", False)

    def test_in_the_middle_of_sending_has_nothing_sent_on(self, stage: Stage) -> None:
        stage.upstream.answer(sized(None, b"{}"))
        with asking(stage.url, STREAM, fields=[("content-length", "100")], body=b"") as client:
            client.connection.sendall(b"{")
        stage.let_it_notice()
        assert stage.upstream.connections == 0

    def test_after_a_long_body_is_noticed_as_well(self, stage: Stage) -> None:
        workflow = f"workflows/tests/{fresh_id()}"
        go = threading.Event()
        stage.upstream.answer(go, chunked_head(fresh_id()), chunk(STARTED), LAST_CHUNK)
        with asking(stage.url, f"/{workflow}/stream", body=b"x" * 8_000_000):
            stage.upstream.wait_until_asked()
        stage.let_it_notice()
        go.set()
        assert ending(stage, stage.run_of(workflow).request_id) == (
            "cancelled",
            "client_gone",
            True,
        )

    @pytest.mark.parametrize("what", ["", "/status", "/status/stream"])
    def test_when_it_only_asked_about_a_queued_run_is_not_waited_for(
        self, stage: Stage, what: str
    ) -> None:
        stage.upstream.answer(Do.WAIT)
        path = f"/queue/workflows/o/n/requests/{fresh_id()}{what}"
        with asking(stage.url, path, method="GET", body=b""):
            stage.upstream.wait_until_asked()
        stage.upstream.wait_until_left()


@pytest.fixture(scope="module")
def aborting(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    """A proxy that hangs up on upstream when its client leaves."""
    with staged(new_database(), upstream, on_client_gone="abort") as stage:
        yield stage


class TestWhereHangingUpIsConfigured:
    @pytest.mark.parametrize("leave", WAYS)
    def test_upstream_is_hung_up_on_in_the_middle_of_a_stream(
        self, aborting: Stage, leave: Callable[[Asking], None]
    ) -> None:
        request_id = fresh_id()
        aborting.upstream.answer(chunked_head(request_id), chunk(STARTED), Do.WAIT)
        with asking(aborting.url, STREAM) as client:
            client.read_head()
            assert client.read_chunk() == STARTED
            leave(client)
            aborting.upstream.wait_until_left()
            assert aborting.body(request_id) == STARTED
        assert ending(aborting, request_id) == ("cancelled", "client_gone", True)

    @pytest.mark.parametrize("path", ["/stream", ""], ids=["stream", "call"])
    def test_upstream_is_hung_up_on_before_it_answers(self, aborting: Stage, path: str) -> None:
        workflow = f"workflows/tests/{fresh_id()}"
        aborting.upstream.answer(Do.WAIT)
        with asking(aborting.url, f"/{workflow}{path}"):
            aborting.upstream.wait_until_asked()
        aborting.upstream.wait_until_left()
        request_id = aborting.run_of(workflow).request_id
        assert ending(aborting, request_id) == ("cancelled", "client_gone", True)

    def test_a_run_whose_output_the_client_has_stays_completed(self, aborting: Stage) -> None:
        request_id = fresh_id()
        aborting.upstream.answer(chunked_head(request_id), chunk(STARTED + REST), Do.WAIT)
        with asking(aborting.url, STREAM) as client:
            client.read_head()
            assert client.read_chunk() == STARTED + REST
        aborting.upstream.wait_until_left()
        assert ending(aborting, request_id) == ("completed", "client_gone", False)

    def test_what_a_slow_client_was_not_given_yet_is_recorded(self, aborting: Stage) -> None:
        """The server's side of a slow client, played by the test: it does not take the first chunk."""
        request_id = fresh_id()
        aborting.upstream.answer(chunked_head(request_id), chunk(STARTED), Do.WAIT)

        async def pass_on() -> None:
            log = aborting.rec.log
            capture = Capture(aborting.rec.new_recording, "proxy")
            stage = playing.Stage(log, Live(log), Streams())
            proxy = Proxy(aborting.rec, capture, stage, Hosts([]))
            await proxy.start()
            connection = LosableConnection()

            async def receive() -> Message:
                return {"type": "http.request", "body": b"{}"}

            async def send(message: Message) -> None:
                if message["type"] == "http.response.body":
                    connection.lose()
                    await asyncio.Event().wait()

            await proxy(post_to(f"/fal{STREAM}", connection), receive, send)
            await proxy.close()

        asyncio.run(asyncio.wait_for(pass_on(), WAIT_S))
        assert aborting.body(request_id) == STARTED


class LosableConnection:
    """A connection that is lost when a test says so."""

    tells_ends_apart = True

    def __init__(self) -> None:
        self._on_lost: Callable[[], None] | None = None

    def watch(self, on_lost: Callable[[], None] | None) -> None:
        self._on_lost = on_lost

    def lose(self) -> None:
        assert self._on_lost is not None
        self._on_lost()


def post_to(path: str, connection: LosableConnection) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "extensions": {CONNECTION: connection},
    }


class TestASlowReader:
    """Who does not read holds up upstream and nothing else; no memory fills up meanwhile."""

    BLOCK = chunk(b"x" * 65_536)
    TIMES = 1_024
    MOST_BYTES = 32 * 1024 * 1024
    """Half of it all; the sockets' own buffers take some megabytes."""

    def test_holds_up_upstream_and_gets_every_byte(self, stage: Stage) -> None:
        push = Push(self.BLOCK, self.TIMES)
        stage.upstream.answer(chunked_head(fresh_id()), push, LAST_CHUNK)
        with asking(stage.url, "/fal-ai/app/stream", receive_buffer_bytes=4_096) as client:
            client.read_head()
            assert push.stalled.wait(WAIT_S)
            reply = client.read_rest()
        assert push.pushed_bytes < self.MOST_BYTES
        assert (len(reply.body), reply.whole) == (65_536 * self.TIMES, True)
        assert (
            hashlib.sha256(reply.body).digest() == hashlib.sha256(b"x" * len(reply.body)).digest()
        )

    def test_who_leaves_has_its_run_read_to_the_end(self, stage: Stage) -> None:
        push, read = Push(self.BLOCK, self.TIMES), threading.Event()
        stage.upstream.answer(chunked_head(fresh_id()), push, LAST_CHUNK, read.set)
        with asking(stage.url, "/fal-ai/app/stream", receive_buffer_bytes=4_096) as client:
            client.read_head()
            assert push.stalled.wait(WAIT_S)
        assert read.wait(WAIT_S)
        assert push.pushed_bytes < self.MOST_BYTES
