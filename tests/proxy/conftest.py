"""One stage for the whole package; tests that need other settings make their own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.proxy.stage import Stage, staged
from tests.proxy.upstream import Upstream


@pytest.fixture(autouse=True)
def the_server_has_nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    complaints = [
        record.message
        for record in caplog.records
        if record.name == "uvicorn.error" and record.levelno >= logging.ERROR
    ]
    assert complaints == []


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="session")
def new_database(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Callable[[], str]:
    """Makes SQLite databases at our schema, each with an empty log, for stages that many tests share."""

    def make() -> str:
        path = tmp_path_factory.mktemp("proxy") / "log.db"
        shutil.copy(sqlite_template, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="package")
def stage(upstream: Upstream, new_database: Callable[[], str]) -> Iterator[Stage]:
    """A proxy with the settings it has by itself."""
    with staged(new_database(), upstream) as running:
        yield running
