from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import recorder
from recorder.bootstrap import Recorder
from recorder.settings import Settings


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path) -> Iterator[Recorder]:
    """Another recorder, with a log of its own."""
    path = tmp_path / "there.db"
    shutil.copy(sqlite_template, path)
    url = f"sqlite:///{path}"
    with recorder.open(url, settings=Settings(database_url=url, fal_key=None)) as opened:
        yield opened
