from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import recorder
from emulator.server import EmulatorServer
from recorder.bootstrap import Recorder
from tests.clients.relay import Relay, relay_to


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Recorder]:
    with recorder.open(f"sqlite:///{tmp_path}/runs.db") as opened:
        yield opened


@pytest.fixture(scope="package")
def emulator_url() -> Iterator[str]:
    with EmulatorServer() as server:
        yield server.url


@pytest.fixture
def relay(emulator_url: str, rec: Recorder) -> Iterator[Relay]:
    with relay_to(emulator_url, rec) as running:
        yield running
