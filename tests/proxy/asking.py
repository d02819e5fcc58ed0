"""A client that shows an answer as it is on the wire: its chunks, its headers, and how it ended."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec

from tests.proxy.upstream import WAIT_S

Fields = Sequence[tuple[str, str]]


class Reply(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        status: The number in the status line.
        fields: Header names in lower case, and values, in order.
        body: As far as it came, the chunked encoding taken off.
        chunks: The chunks of a chunked body; one for any other.
        whole: Whether the body came to its own end.
    """

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    chunks: list[bytes]
    whole: bool

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for each, value in self.fields if each == name]


class Asking:
    """A connection on which one request has been sent."""

    def __init__(self, connection: socket.socket, method: str) -> None:
        self.connection = connection
        self._method = method
        self._reading: io.BufferedReader = connection.makefile("rb")
        self.status = 0
        self.fields: list[tuple[str, str]] = []

    def read_head(self) -> None:
        """Reads status and headers, and passes over interim answers.

        Raises:
            ConnectionError: The connection ended without them.
        """
        self.status = 100
        while 100 <= self.status < 200:
            line = self._line()
            self.status = int(line.split(b" ")[1])
            self.fields = []
            while line := self._line():
                name, _, value = line.partition(b":")
                self.fields.append((name.decode().lower(), value.strip().decode("latin-1")))

    def read_chunk(self) -> bytes:
        """The next chunk of a chunked body, b"" for the last.

        Raises:
            ConnectionError: The connection ended before it did.
        """
        size = int(self._line(), 16)
        data = self._exactly(size)
        if self._exactly(2) != b"\r\n":
            raise AssertionError("a chunk is longer than it says")
        return data

    def receive(self) -> bytes:
        """What comes next, as it is on the wire."""
        return self._reading.read1(65_536)

    def read_rest(self) -> Reply:
        """The body to its end, whatever end that is."""
        chunks: list[bytes] = []
        whole = True
        try:
            chunks.extend(self._chunks())
        except ConnectionError:
            whole = False
        return Reply(self.status, self.fields, b"".join(chunks), chunks, whole)

    def read(self) -> Reply:
        """The whole answer."""
        self.read_head()
        return self.read_rest()

    def leave(self) -> None:
        """Closes the connection."""
        self._reading.close()
        self.connection.close()

    def _chunks(self) -> Iterator[bytes]:
        told = dict(self.fields)
        if self._method == "HEAD" or self.status in (204, 304):
            return
        if told.get("transfer-encoding") == "chunked":
            while data := self.read_chunk():
                yield data
        elif "content-length" in told:
            left = int(told["content-length"])
            while left:
                data = self._some(left)
                left -= len(data)
                yield data
        else:
            while data := self._reading.read1(65_536):
                yield data

    def _line(self) -> bytes:
        line = self._reading.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the answer was cut")
        return line[:-2]

    def _some(self, most: int) -> bytes:
        data = self._reading.read1(most)
        if not data:
            raise ConnectionError("the answer was cut")
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._reading.read(size)
        if len(data) < size:
            raise ConnectionError("the answer was cut")
        return data


def request(method: str, target: str, fields: Fields, body: bytes) -> bytes:
    """A request as it goes over the wire; without a length where there is no body.

    The fields may name a host of their own.
    """
    length = [("content-length", str(len(body)))] if body else []
    host = [] if any(name == "host" for name, _ in fields) else [("host", "recorder")]
    lines = [f"{name}: {value}" for name, value in [*host, *fields, *length]]
    text = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
    return text.encode("latin-1") + body


@contextmanager
def asking(
    base: str,
    path: str,
    *,
    method: str = "POST",
    fields: Fields = (),
    body: bytes = b"{}",
    receive_buffer_bytes: int | None = None,
) -> Iterator[Asking]:
    """Sends a request; the answer is the caller's to read. The connection is closed at the end."""
    parts = urlsplit(base)
    assert parts.hostname is not None
    connection = socket.socket()
    if receive_buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.settimeout(WAIT_S)
    connection.connect((parts.hostname, parts.port or 80))
    connection.sendall(request(method, parts.path + path, fields, body))
    open_ = Asking(connection, method)
    try:
        yield open_
    finally:
        open_.leave()


def ask(
    base: str, path: str, *, method: str = "POST", fields: Fields = (), body: bytes = b"{}"
) -> Reply:
    """Sends a request and reads the whole answer."""
    with asking(base, path, method=method, fields=fields, body=body) as open_:
        return open_.read()
