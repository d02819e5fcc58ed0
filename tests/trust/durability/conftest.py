from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.postgres import OwnServer, PostgresMissing, own_postgres
from tests.trust.durability.zygote import Zygote, zygote


@pytest.fixture(scope="module")
def forks() -> Iterator[Zygote]:
    """Where victims come from."""
    with zygote() as process:
        yield process


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """A PostgreSQL server that may be killed."""
    try:
        with own_postgres() as server:
            yield server
    except PostgresMissing as missing:
        if missing.expected or os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
