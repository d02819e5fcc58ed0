"""One stage for the whole package; tests that need other settings make their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.stage import Stage, staged
from tests.proxy.upstream import Upstream


@pytest.fixture(autouse=True)
def the_server_has_nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    complaints = [record.message for record in caplog.records if record.name == "uvicorn.error"]
    assert complaints == []


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="package")
def stage(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Stage]:
    """A proxy with the settings it has by itself."""
    path = tmp_path_factory.mktemp("proxy") / "log.db"
    shutil.copy(sqlite_template, path)
    with staged(f"sqlite:///{path}", upstream) as running:
        yield running
