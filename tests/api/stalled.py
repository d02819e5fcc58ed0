"""Clients that stop reading, and what the service says of them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from api.server import ApiServer
from tests.logs import WAIT_S


def ask(server: ApiServer, path: str) -> socket.socket:
    """A connection that has asked and takes no more than the system takes for it."""
    address = urlsplit(server.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(WAIT_S)
    connection.connect((address.hostname, address.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
    return connection


class Warnings(logging.Handler):
    """What a logger warns of, and the moment it does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._one = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self._one.release()

    def wait_for_one(self) -> None:
        """Returns once there is one more than was waited for before."""
        assert self._one.acquire(timeout=WAIT_S)


@contextmanager
def warnings_of(name: str) -> Iterator[Warnings]:
    """The warnings of a logger within the block."""
    found = Warnings()
    logging.getLogger(name).addHandler(found)
    try:
        yield found
    finally:
        logging.getLogger(name).removeHandler(found)
