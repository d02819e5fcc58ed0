"""Starting and ending the service."""

from __future__ import annotations

import os
import signal
import socket
import threading

import httpx
import pytest

from api.server import ApiServer, serve
from recorder.bootstrap import Recorder
from tests.api.conftest import client_of
from tests.builders import one_step_run


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_serve_returns_after_a_signal_and_leaves_the_recorder_open(
    sqlite_rec: Recorder, with_signal: signal.Signals
) -> None:
    answers: list[int] = []

    def ask_and_end(url: str) -> None:
        answers.append(httpx.get(f"{url}/readyz", trust_env=False).status_code)
        os.kill(os.getpid(), with_signal)

    def ready(url: str) -> None:
        threading.Thread(target=ask_and_end, args=(url,)).start()

    before = signal.getsignal(with_signal)
    serve(sqlite_rec, port=0, on_ready=ready)
    assert answers == [200]
    assert signal.getsignal(with_signal) is before
    assert sqlite_rec.log.head().position == 0


def test_a_taken_port_is_an_error_of_the_system(sqlite_rec: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            serve(sqlite_rec, port=port)
        with pytest.raises(OSError, match="in use"), ApiServer(sqlite_rec, port):
            pass


def test_several_services_share_a_recorder(sqlite_rec: Recorder) -> None:
    with ApiServer(sqlite_rec) as one, client_of(one) as http:
        with ApiServer(sqlite_rec) as other, client_of(other) as other_http:
            sqlite_rec.log.append(one_step_run("run"))
            assert other_http.get("/api/v1/runs").json() == http.get("/api/v1/runs").json()
        assert http.get("/api/v1/runs/run").status_code == 200


def test_before_it_has_started_there_is_no_address(sqlite_rec: Recorder) -> None:
    server = ApiServer(sqlite_rec)
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.url
    server.app.state.service.background.close(0)
