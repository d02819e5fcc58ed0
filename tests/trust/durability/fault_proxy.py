"""A TCP proxy before PostgreSQL that cuts a connection at a chosen place of the conversation.

It reads the wire protocol as far as telling messages apart takes: after the first message of a
connection, each is a type byte, a length of four bytes that counts itself, and a body.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, make_url

_CHUNK_BYTES = 65_536
_QUERY, _PARSE, _COMPLETE = b"Q", b"P", b"C"


class Message(NamedTuple):
    """A message of either side; `kind` is empty for the first one of a connection."""

    from_client: bool
    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.kind + (len(self.body) + 4).to_bytes(4, "big") + self.body

    @property
    def commits(self) -> bool:
        """Whether this asks for a commit."""
        asked = {_QUERY: b"COMMIT\0", _PARSE: b"\0COMMIT\0\0\0"}
        return self.from_client and self.body == asked.get(self.kind)

    @property
    def is_done(self) -> bool:
        """Whether the server says so that it has done what it was asked."""
        return not self.from_client and self.kind == _COMPLETE


Judge = Callable[[Message], bool]
"""Whether a message passes; at the first that does not, both ends of its connection are closed."""


class FaultProxy:
    """Stands between a client and a server.

    Attributes:
        judge: Looks at every message, in the order they pass.
        cuts: How many connections were cut.
    """

    def __init__(self, server: URL) -> None:
        self.judge: Judge = lambda _: True
        self.cuts = 0
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        """The database's address through the proxy, without encryption."""
        port = self._listener.getsockname()[1]
        through = self._server.set(host="127.0.0.1", port=port)
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        return through.set(query=plain).render_as_string(hide_password=False)

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *self._threads):
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = _reach(self._server)
            self._sockets += [client, server]
            thread = threading.Thread(target=self._pass_on, args=(client, server))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, selectors.DefaultSelector() as selector:
            # The server's messages all have a type; the client's first has none.
            streams = {client: _Stream(True), server: _Stream(False)}
            for each in streams:
                selector.register(each, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while all(
                    self._forward(key.fileobj, streams, client, server)  # type: ignore[arg-type]
                    for key, _ in selector.select()
                ):
                    pass

    def _forward(
        self,
        source: socket.socket,
        streams: dict[socket.socket, _Stream],
        client: socket.socket,
        server: socket.socket,
    ) -> bool:
        """Passes on what has come; False once the connection is at its end."""
        data = source.recv(_CHUNK_BYTES)
        for message in streams[source].feed(data):
            if not self.judge(message):
                self.cuts += 1
                return False
            (server if message.from_client else client).sendall(message.raw)
        return bool(data)


class _Stream:
    """One direction of a connection, cut into messages."""

    def __init__(self, from_client: bool) -> None:
        self._from_client = from_client
        self._kind_bytes = 0 if from_client else 1
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        self._pending += data
        while len(self._pending) >= self._kind_bytes + 4:
            kind, rest = self._pending[: self._kind_bytes], self._pending[self._kind_bytes :]
            size = int.from_bytes(rest[:4], "big")
            if len(rest) < size:
                return
            self._pending = rest[size:]
            self._kind_bytes = 1
            yield Message(self._from_client, kind, rest[4:size])


def _reach(url: URL) -> socket.socket:
    folder = url.query.get("host", url.host or "localhost")
    assert isinstance(folder, str)
    if not folder.startswith("/"):
        return socket.create_connection((folder, url.port or 5432))
    server = socket.socket(socket.AF_UNIX)
    server.connect(str(Path(folder) / f".s.PGSQL.{url.port or 5432}"))
    return server


@contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    """A proxy before the database of a URL, for as long as the block lasts."""
    proxy = FaultProxy(make_url(url))
    try:
        yield proxy
    finally:
        proxy.close()


def cut_before_commit() -> Judge:
    """The first request for a commit never reaches the server."""
    cut = False

    def judge(message: Message) -> bool:
        nonlocal cut
        passes = cut or not message.commits
        cut = cut or not passes
        return passes

    return judge


def cut_after_commit() -> Judge:
    """The first commit is done, and the client never hears of it."""
    asked = cut = False

    def judge(message: Message) -> bool:
        nonlocal asked, cut
        asked = asked or message.commits
        passes = cut or not (asked and message.is_done)
        cut = cut or not passes
        return passes

    return judge


def cut_at(place: int) -> Judge:
    """The message at this place, counted from 0 over both sides, does not pass."""
    passed = 0

    def judge(_: Message) -> bool:
        nonlocal passed
        passed += 1
        return passed != place + 1

    return judge
