"""The API over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api.server import ApiServer
from recorder.bootstrap import Recorder


def client_of(server: ApiServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30, trust_env=False)


@pytest.fixture
def http(sqlite_rec: Recorder) -> Iterator[httpx.Client]:
    """A client of the API over `sqlite_rec`."""
    with ApiServer(sqlite_rec) as server, client_of(server) as client:
        yield client


@pytest.fixture
def http_on_both(rec: Recorder) -> Iterator[httpx.Client]:
    """A client of the API over `rec`, on both kinds of database."""
    with ApiServer(rec) as server, client_of(server) as client:
        yield client
