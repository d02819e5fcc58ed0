"""A pytest plugin: tests that call fal's workflows, answered from cassettes in the repository.

    def test_poster(fal_replay):
        events = list(fal_client.stream("workflows/acme/poster", arguments={"prompt": "x"}))

Run once with `--fal-replay=once` to record; from then on nothing is called and nothing is spent. docs/replay.md
tells the rest. Loaded by pytest in every project that has the recorder installed, so it imports nothing heavy
until a test asks for the fixture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from api.cassettes import Cassette, CassetteMode


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--fal-replay` and the ini value of the same meaning."""
    group = parser.getgroup("fal recorder")
    group.addoption(
        "--fal-replay",
        choices=("none", "once", "all"),
        help="none: answer from cassettes only (default); once: record those missing; all: record anew",
    )
    parser.addini("fal_replay", "the default of --fal-replay", default="none")


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers",
        "fal_replay(cassette=None, mode=None, ignore=()): the cassette of a test, beside its module if "
        "relative; how it is used; fields of the input that do not count. Uses the fixture.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the fixture to tests that only have the marker."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if (
            names is not None
            and item.get_closest_marker("fal_replay")
            and "fal_replay" not in names
        ):
            names.append("fal_replay")


@pytest.fixture
def fal_replay(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cassette]:
    """Plays the test's cassette to whatever the test calls of fal.

    `fal_client` is pointed at it; other clients find it at `fal_replay.url`.
    """
    from api.cassettes import playing  # loads the service

    told = _told(request)
    mode = _mode(told.get("mode") or _default_mode(request.config))
    scratch = tmp_path_factory.mktemp("fal-replay")
    path = _path(request, told.get("cassette"))
    with playing(path, mode, scratch, ignore=tuple(told.get("ignore", ()))) as cassette:
        with pytest.MonkeyPatch.context() as patched:
            _point_fal_client_at(cassette, patched)
            yield cassette
        misses = cassette.misses()
    if misses:
        pytest.fail("\n\n".join([f"not on the cassette {path}:", *misses]), pytrace=False)


def _mode(name: str) -> CassetteMode:
    from api.cassettes import MODES

    for mode in MODES:
        if name == mode:
            return mode
    raise pytest.UsageError(f"fal_replay: the mode is one of {', '.join(MODES)}, not {name!r}")


def _told(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("fal_replay")
    if marker is None:
        return {}
    names = ("cassette", "mode", "ignore")
    return {**dict(zip(names, marker.args, strict=False)), **marker.kwargs}


def _default_mode(config: pytest.Config) -> str:
    return str(config.getoption("--fal-replay") or config.getini("fal_replay"))


def _path(request: pytest.FixtureRequest, named: str | None) -> Path:
    module: Path = request.path
    if named is not None:
        return module.parent / named
    test = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")
    return module.parent / "cassettes" / module.stem / f"{test}.run.zip"


def _point_fal_client_at(cassette: Cassette, patched: pytest.MonkeyPatch) -> None:
    try:
        from fal_client import client
    except ImportError:
        return
    if not cassette.records and "FAL_KEY" not in os.environ:
        patched.setenv("FAL_KEY", "nobody:nothing")  # the client wants one; it goes nowhere
    patched.setattr(client, "RUN_URL_FORMAT", f"{cassette.url}/fal/")
    patched.setattr(client, "QUEUE_URL_FORMAT", f"{cassette.url}/fal/queue/")
