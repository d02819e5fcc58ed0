"""Endpoints that behave as told, byte by byte: what an emulator is too well-behaved for."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-fal-request-id: %s\r\n"
    b"connection: close\r\n\r\n"
)
CHUNKED = STREAM.replace(b"connection: close", b"transfer-encoding: chunked")


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream:
    """Answers every request with these bytes, and then says nothing more until told to go on.

    Attributes:
        requests: What came in, headers and body, in order of arrival.
        asked: Set once a request has been read.
    """

    def __init__(self, answer: bytes, then: bytes = b"") -> None:
        self.requests: list[bytes] = []
        self.asked = threading.Event()
        self._answer = answer
        self._then = then
        self._go_on = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, name="upstream")]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def go_on(self) -> None:
        """Says the rest, and hangs up."""
        self._go_on.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._go_on.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="upstream")
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            self.requests.append(_request(connection))
            self.asked.set()
            connection.sendall(self._answer)
            self._go_on.wait()
            try:
                connection.sendall(self._then)
            except OSError:  # the other side hung up first
                return


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    headers, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in headers.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65536)
    return headers + b"\r\n\r\n" + body
