from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from emulator.server import EmulatorServer


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """An HTTP client whose base URL is an emulator with default settings."""
    with EmulatorServer() as server, httpx.Client(base_url=server.url, timeout=30) as http:
        yield http
