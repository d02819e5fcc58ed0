"""An endpoint that does with each connection what it is told, byte by byte and moment by moment."""

from __future__ import annotations

import enum
import select
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

WAIT_S = 30
"""After this a test that hangs fails instead."""


_STALL_S = 0.3
"""When nothing can be written for so long, whoever should read does not."""


class Do(enum.Enum):
    """What can be done with a connection beside writing to it."""

    READ = "read a request"
    WAIT = "wait until the other side has left"
    RESET = "reset the connection"


class Push:
    """Writes a block over and over, and notes if nobody takes it any more.

    Args:
        block: What to write.
        times: How often.

    Attributes:
        stalled: Set once nothing could be written for a while, or all has been written.
        pushed_bytes: What had been written by then.
    """

    def __init__(self, block: bytes, times: int) -> None:
        self.stalled = threading.Event()
        self.pushed_bytes = 0
        self._block = block
        self._times = times

    def play(self, connection: socket.socket) -> None:
        for _ in range(self._times):
            left = memoryview(self._block)
            while left:
                left = left[self._write(connection, left) :]
        self.stalled.set()

    def _write(self, connection: socket.socket, left: memoryview) -> int:
        if not self.stalled.is_set():
            writable = select.select([], [connection], [], _STALL_S)[1]
            if not writable:
                self.stalled.set()
        written = connection.send(left)
        if not self.stalled.is_set():
            self.pushed_bytes += written
        return written


Step = bytes | threading.Event | Do | Push | Callable[[], object]
"""Bytes are written, an event is waited for, a callable called."""


def fresh_id() -> str:
    """A request id no other test uses."""
    return f"request-{uuid.uuid4()}"


def head(
    request_id: str | None,
    *fields: str,
    status: str = "200 OK",
    media_type: str | None = "text/event-stream",
) -> bytes:
    """Status line and headers of an answer, the last on its connection."""
    lines = [f"HTTP/1.1 {status}", "connection: close"]
    if request_id is not None:
        lines.append(f"x-fal-request-id: {request_id}")
    if media_type is not None:
        lines.append(f"content-type: {media_type}")
    return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1")


def kept(answer: bytes) -> bytes:
    """The answer without the word that its connection will be closed."""
    return answer.replace(b"connection: close\r\n", b"", 1)


def chunked_head(request_id: str | None, *fields: str, status: str = "200 OK") -> bytes:
    """The head of a stream whose body comes in chunks."""
    return head(request_id, *fields, "transfer-encoding: chunked", status=status)


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def sized(request_id: str | None, body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """A whole answer of known length, JSON by its content type."""
    length = f"content-length: {len(body)}"
    return head(request_id, *fields, length, status=status, media_type="application/json") + body


class Upstream:
    """Plays the same steps with every connection; then closes it in good order.

    Attributes:
        requests: What came in, head and body, in order of arrival.
        connections: How many there have been.
        asked: Released once for every request read.
        left: Released once for every client that a `Do.WAIT` saw leave.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self._steps: Sequence[Step] = ()
        self._routes: dict[str, Sequence[Step]] = {}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="upstream")]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def play(self, *steps: Step) -> None:
        """What to do with connections from now on; what was counted is forgotten."""
        self._steps = steps
        self.requests.clear()
        self.connections = 0
        self.asked = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    def answer(self, *steps: Step) -> None:
        """The same, once a request has been read."""
        self.play(Do.READ, *steps)

    def route(self, path: str, *steps: Step) -> None:
        """What to do once a request for a path has been read, whatever else is played."""
        self._routes[path] = steps

    def wait_until_asked(self) -> None:
        """Returns once one more request has been read."""
        assert self.asked.acquire(timeout=WAIT_S)

    def wait_until_left(self) -> None:
        """Returns once one more client has been seen to leave."""
        assert self.left.acquire(timeout=WAIT_S)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join(WAIT_S)
        for connection in list(self._open):
            connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(
                target=self._serve, args=(connection, self._steps), name="upstream"
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, steps: Sequence[Step]) -> None:
        connection.settimeout(WAIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(connection)
        with connection:
            try:
                self._play(connection, steps)
            except OSError:
                return  # the other side has left
            finally:
                self._open.discard(connection)

    def _play(self, connection: socket.socket, steps: Sequence[Step]) -> None:
        for step in steps:
            if step is Do.READ:
                request = _read_request(connection)
                self.requests.append(request)
                self.asked.release()
                if (routed := self._routes.get(_path(request))) is not None:
                    self._play(connection, routed)
                    return
            else:
                self._do(connection, step)

    def _do(self, connection: socket.socket, step: Step) -> None:
        match step:
            case bytes():
                connection.sendall(step)
            case threading.Event():
                assert step.wait(WAIT_S)
            case Push():
                step.play(connection)
            case Do.WAIT:
                _read_to_end(connection)
                self.left.release()
            case Do.RESET:
                linger_no_time = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
                connection.close()
            case _:
                assert callable(step)
                step()


def _path(request: bytes) -> str:
    return request.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")


def _read_request(connection: socket.socket) -> bytes:
    """One request; its body has a length, or there is none.

    Raises:
        OSError: The other side left before it was whole.
    """
    request = b""
    while b"\r\n\r\n" not in request:
        request += _receive(connection)
    fields, _, body = request.partition(b"\r\n\r\n")
    length = 0
    for line in fields.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _receive(connection)
    return fields + b"\r\n\r\n" + body


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("the other side has left")
    return received


def _read_to_end(connection: socket.socket) -> None:
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return
