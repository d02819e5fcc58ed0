"""A served recorder, and its runs as a client of the stream sees them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api.server import ApiServer
from recorder.bootstrap import Recorder


@pytest.fixture
def server(sqlite_rec: Recorder) -> Iterator[ApiServer]:
    with ApiServer(sqlite_rec) as running:
        yield running


@pytest.fixture
def http(server: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
