"""fal's JavaScript client in Node with the proxy and without it: the same events, the same exceptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.node import Views, needs_node, play_scenes
from tests.clients.scenes import Scenes
from tests.proxy.stage import SERVER_PROXY, Stage, staged
from tests.proxy.upstream import Do, Upstream

pytestmark = needs_node


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    path: Path = tmp_path_factory.mktemp("scenes") / "log.db"
    with Upstream() as upstream, staged(f"sqlite:///{path}", upstream) as running:
        yield running


@pytest.fixture(scope="module")
def scenes(stage: Stage) -> Scenes:
    found = Scenes(stage.upstream)
    stage.upstream.play(Do.READ)
    return found


def play(stage: Stage, scenes: Scenes, where: dict[str, str], url: str | None = None) -> Views:
    return play_scenes(scenes, where, go=stage.upstream.url, url=url)


def as_cuts(views: Views, scenes: Scenes) -> Views:
    """The same with every reset seen as the cut it is with a proxy."""
    cuts = {
        f"stream {reset}": json.loads(json.dumps(views[f"stream {cut}"]).replace(cut, reset))
        for reset, cut in scenes.resets.items()
    }
    return {**views, **cuts}


@pytest.fixture(scope="module")
def direct(stage: Stage, scenes: Scenes) -> Views:
    return play(stage, scenes, {"fal": stage.upstream.url, "queue": f"{stage.upstream.url}/queue"})


def test_the_scenes_are_seen_as_they_are_documented(direct: Views, scenes: Scenes) -> None:
    """What the comparisons below compare is not all the same."""
    ends = {name: direct[f"stream {name}"]["end"] for name in scenes.streams}
    assert [
        ends["whole"]["last"]["type"],
        ends["an error event"]["last"]["type"],
        ends["bad JSON"]["error"]["name"],
        ends["status 503"]["error"]["body"],
        ends["a validation error"]["error"]["name"],
        ends["cut in an event"]["error"]["message"],
    ] == [
        "output",
        "error",
        "SyntaxError",
        {"detail": "it is 503"},
        "ValidationError",
        "terminated",
    ]


def test_everything_is_seen_alike_through_the_server_proxy(
    stage: Stage, scenes: Scenes, direct: Views
) -> None:
    through = play(stage, scenes, {"proxyUrl": f"{stage.server.url}{SERVER_PROXY}"})
    assert through == as_cuts(direct, scenes)


def test_everything_is_seen_alike_at_addresses_of_the_recorder(
    stage: Stage, scenes: Scenes, direct: Views
) -> None:
    where = {"fal": stage.url, "queue": f"{stage.url}/queue"}
    assert play(stage, scenes, where, url=stage.url) == as_cuts(direct, scenes)
