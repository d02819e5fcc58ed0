from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, StreamFaults
from tests.cli.builders import Cli


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path) -> None:
    """Nothing of the developer's own: no key, no colours, no database."""
    for name in ("FAL_KEY", "FORCE_COLOR", "RECORDER_FAL_URL", "RECORDER_DEBUG", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RECORDER_DATABASE_URL", database)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capfd)


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    with EmulatorServer() as server:
        yield server.url


@pytest.fixture
def fal(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Workflow ids go to the emulator."""
    monkeypatch.setenv("RECORDER_FAL_URL", emulator_url)
    return emulator_url


@pytest.fixture
def stalled_fal() -> Iterator[str]:
    """An endpoint that says nothing more after its first event."""
    settings = EmulatorSettings(stream=StreamFaults(stall_after_events=1, stall_s=600))
    with EmulatorServer(settings) as server:
        yield server.url


@pytest.fixture
def cut_fal() -> Iterator[str]:
    """An endpoint that breaks the connection after two events."""
    with EmulatorServer(EmulatorSettings(stream=StreamFaults(cut_after_events=2))) as server:
        yield server.url
