"""A web server that writes exactly the bytes it is told to, and ends a connection as it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

WAIT_S = 10
"""After this a test that hangs fails instead."""

Step = bytes | threading.Event
Ending = Literal["close", "reset"]


def head(status: str = "200 OK", *headers: str, media_type: str = "text/event-stream") -> bytes:
    """The status line and headers of an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def chunked(*pieces: bytes, complete: bool = True) -> bytes:
    """A chunked body, one HTTP chunk a piece; its end is left out where it is not complete."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return body + (b"0\r\n\r\n" if complete else b"")


class RawServer:
    """What the server was asked, and where it is.

    Attributes:
        url: Its address, without a path.
        requests: The requests that came, as they came, head and body.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[bytes] = []


@contextmanager
def serving(steps: Sequence[Step], ending: Ending = "close") -> Iterator[RawServer]:
    """Answers every request, one connection after another, with the same steps.

    Args:
        steps: Bytes to write, and events to wait for.
        ending: Close in good order, or reset the connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = RawServer(listening.getsockname()[1])
        thread = threading.Thread(
            target=_serve, args=(listening, server, steps, ending), name="raw-server"
        )
        thread.start()
        try:
            yield server
        finally:
            # A connection without a request tells the thread to end.
            socket.create_connection(listening.getsockname()).close()
            thread.join(WAIT_S)
            assert not thread.is_alive()


def _serve(
    listening: socket.socket, server: RawServer, steps: Sequence[Step], ending: Ending
) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(WAIT_S)
            request = _read_request(connection)
            if not request:
                return
            server.requests.append(request)
            _answer(connection, steps, ending)


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(65_536)
        if not received:
            return request
        request += received
    headers, _, body = request.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in headers.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return headers + b"\r\n\r\n" + body


def _answer(connection: socket.socket, steps: Sequence[Step], ending: Ending) -> None:
    try:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                step.wait(WAIT_S)
    except OSError:
        return  # the client has left
    if ending == "reset":
        linger_no_time = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
