"""A relay that stands between a client and an endpoint, records what passes, and changes nothing.

It is the smallest thing that puts a `Recording` beside a stream a client we did not write reads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from recorder import redaction
from recorder.bootstrap import Recorder
from recorder.events import Opened
from recorder.recording import Recording


class Relay:
    """A running relay: its address, and the ids of the runs it recorded."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.request_ids: list[str] = []


@contextmanager
def relay_to(upstream: str, rec: Recorder) -> Iterator[Relay]:
    """Runs a relay to an endpoint for the time of the block."""
    with httpx.Client(timeout=30) as client:
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        relay = Relay(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = _handler(client, upstream, rec, relay)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(
    client: httpx.Client, upstream: str, rec: Recorder, relay: Relay
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name http.server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            recording = Recording(rec.writer)
            request = client.build_request(
                "POST",
                upstream + self.path,
                content=body,
                headers={"content-type": "application/json", "accept-encoding": "identity"},
            )
            response = client.send(request, stream=True)
            recording.open(_opened(self.path, body, response))
            self.send_response(response.status_code)
            for name in ("content-type", "x-fal-request-id"):
                self.send_header(name, response.headers[name])
            self.send_header("connection", "close")
            self.end_headers()
            for chunk in response.iter_raw():
                self.wfile.write(chunk)
                recording.feed(chunk)
            response.close()
            recording.close("eof")
            recording.wait(10)
            relay.request_ids.append(recording.request_id or "")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    return Handler


def _opened(path: str, body: bytes, response: httpx.Response) -> Opened:
    return Opened(
        workflow=path.strip("/").removesuffix("/stream"),
        source="http",
        upstream_request_id=response.headers["x-fal-request-id"],
        input=body.decode(),
        status=response.status_code,
        response_headers=redaction.headers(response.headers.multi_items()),
    )
