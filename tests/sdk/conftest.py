"""fal's client, instrumented or not, before an emulator of fal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fal_client
import pytest

import recorder
from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings
from recorder.bootstrap import Recorder
from recorder.instrumentation import Instrumentation, instrument
from recorder.settings import Settings
from tests.emulator.builders import editor, run_node

KEY = "id:canary-4711"


@pytest.fixture(scope="package")
def emulator_url() -> Iterator[str]:
    nodes = {"a": run_node("acme/a"), "b": run_node("acme/b", ["a"])}
    with EmulatorServer(EmulatorSettings(workflows={"acme/tiny": editor(nodes)})) as server:
        yield server.url


@pytest.fixture(autouse=True)
def fal_at_the_emulator(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    call_fal_at(emulator_url, monkeypatch)


@pytest.fixture(autouse=True, scope="package")
def no_connections_left_open() -> Iterator[None]:
    """fal's client of the module keeps its connections to the end of the process."""
    yield
    client = vars(fal_client.sync_client).pop("_client", None)
    if client is not None:
        client.close()


def call_fal_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets fal's client call an endpoint that stands for fal's hosts."""
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{url}/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{url}/queue/")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A spool of the test's own."""
    return Settings(fal_key=None, spool=tmp_path / "spool")


@pytest.fixture
def instrumented(sqlite_url: str, settings: Settings) -> Iterator[Instrumentation]:
    """fal's client, recorded into `sqlite_url`."""
    with instrument(sqlite_url, settings=settings) as instrumentation:
        yield instrumentation


@pytest.fixture
def rec(sqlite_url: str) -> Iterator[Recorder]:
    """Reads what was recorded into `sqlite_url`."""
    with recorder.open(sqlite_url, settings=Settings(fal_key=None)) as opened:
        yield opened
