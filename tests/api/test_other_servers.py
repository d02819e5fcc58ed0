"""The app under a server that is not ours: it passes, records and plays all the same."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

import recorder
from api.app import create_app
from recorder.bootstrap import Recorder
from recorder.recording import body_part
from tests.builders import completion, output, submit
from tests.proxy.asking import ask, asking
from tests.proxy.stage import STREAM, settings_for
from tests.proxy.upstream import LAST_CHUNK, Do, Upstream, chunk, chunked_head, fresh_id

STARTED = submit("a")
REST = completion("a") + output()


@contextmanager
def served(rec: Recorder) -> Iterator[str]:
    """The app's address under uvicorn as it comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(create_app(rec), log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def rec(sqlite_url: str, upstream: Upstream) -> Iterator[Recorder]:
    with recorder.open(sqlite_url, settings=settings_for(sqlite_url, upstream.url)) as opened:
        yield opened


def ended(rec: Recorder, request_id: str) -> tuple[str, str | None, bytes]:
    """A run's status, why it was closed, and its body, waited for until it is closed."""
    for logged in rec.follow():
        if logged.request_id == request_id and logged.type == "closed":
            break
    run = rec.run(request_id)
    return run.status, run.close_reason, b"".join(map(body_part, rec.events(request_id)))


def test_a_stream_passes_is_recorded_and_can_be_played_again(
    rec: Recorder, upstream: Upstream
) -> None:
    request_id = fresh_id()
    upstream.answer(chunked_head(request_id), chunk(STARTED), chunk(REST), LAST_CHUNK)
    with served(rec) as url:
        reply = ask(f"{url}/fal", STREAM)
        assert (reply.status, reply.body, reply.whole) == (200, STARTED + REST, True)
        assert ended(rec, request_id) == ("completed", "eof", STARTED + REST)
        played = ask(url, f"/api/v1/runs/{request_id}/stream?speed=max&raw=1", method="GET")
        assert (played.status, played.body, played.whole) == (200, STARTED + REST, True)


def test_a_client_who_leaves_has_its_run_read_to_the_end(rec: Recorder, upstream: Upstream) -> None:
    request_id, left = fresh_id(), threading.Event()
    upstream.answer(chunked_head(request_id), chunk(STARTED), left, chunk(REST), LAST_CHUNK)
    with served(rec) as url:
        with asking(f"{url}/fal", STREAM) as client:
            client.read_head()
            assert client.read_chunk() == STARTED
        for _ in range(2):  # it has heard of all its sockets then
            ask(url, "/healthz", method="GET", body=b"")
        left.set()
        assert ended(rec, request_id) == ("cancelled", "client_gone", STARTED + REST)


def test_a_cut_stays_a_cut(rec: Recorder, upstream: Upstream) -> None:
    request_id = fresh_id()
    upstream.answer(chunked_head(request_id), chunk(STARTED), Do.RESET)
    with served(rec) as url:
        reply = ask(f"{url}/fal", STREAM)
        assert (reply.body, reply.whole) == (STARTED, False)
        assert ended(rec, request_id) == ("interrupted", "cut", STARTED)
