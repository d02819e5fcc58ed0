from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.server import EmulatorServer
from tests.proxy.stage import Proxied, proxying


@pytest.fixture(scope="package")
def emulator_url() -> Iterator[str]:
    with EmulatorServer() as server:
        yield server.url


@pytest.fixture
def proxied(emulator_url: str, sqlite_url: str) -> Iterator[Proxied]:
    """A recording proxy before the emulator."""
    with proxying(sqlite_url, emulator_url) as (rec, server):
        yield Proxied(rec, server)
