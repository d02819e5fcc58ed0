"""From a socket to durable and visible in `GET /api/v1/runs`, in one process.

Another process serves prepared streams; ours records several of them at the same time, projects, and is
asked over HTTP until every run shows as completed.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx

import recorder
from api.server import ApiServer
from bench.material import frame, sqlite_file
from bench.measure import Result, compare
from recorder.bootstrap import Recorder
from recorder.settings import Settings

STREAMS = 10
EVENTS_A_STREAM = 2_000
GIVE_UP_S = 60


def results(rounds: int) -> Iterator[Result]:
    """Ten streams of two thousand events of 400 B."""
    yield compare(
        f"socket to durable and visible, {STREAMS} streams x {EVENTS_A_STREAM} events of 400 B",
        "events/s",
        {"recorder": _rate},
        rounds=rounds,
    )


def _rate() -> float:
    upstream = subprocess.Popen([sys.executable, "-m", "bench.visible"], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    url = f"http://127.0.0.1:{int(upstream.stdout.readline())}"
    try:
        with sqlite_file() as path, recorder.open(f"sqlite:///{path}", settings=Settings()) as rec:
            return _record(rec, url)
    finally:
        upstream.kill()
        upstream.wait()
        upstream.stdout.close()


def _record(rec: Recorder, url: str) -> float:
    with httpx.Client(timeout=60) as client, ApiServer(rec) as api, httpx.Client() as reader:

        def one() -> None:
            for _ in rec.workflow_run(f"{url}/workflows/acme/poster/stream", b"{}", client):
                pass

        threads = [threading.Thread(target=one) for _ in range(STREAMS)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        address = f"{api.url}/api/v1/runs?status=completed"
        while len(reader.get(address).json()["runs"]) < STREAMS:
            if time.perf_counter() - started > GIVE_UP_S:
                raise AssertionError("the runs did not show as completed")
        return STREAMS * (EVENTS_A_STREAM + 3) / (time.perf_counter() - started)


def serve() -> None:
    """Answers every connection with the same stream; prints its port first."""
    body = frame(400) * EVENTS_A_STREAM + b'data: {"type": "output", "output": {}}\r\n\r\n'
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode()
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    print(listening.getsockname()[1], flush=True)

    def answer(connection: socket.socket) -> None:
        with connection:
            request = b""
            while not request.endswith(b"\r\n\r\n{}"):  # what is left unread would cut the answer
                request += connection.recv(65_536)
            connection.sendall(head + body)

    while True:
        connection, _ = listening.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    serve()
