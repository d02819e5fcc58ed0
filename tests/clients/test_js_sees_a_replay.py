"""fal's JavaScript client before recorded runs, upstream gone: the events, errors and end of the original."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.server import ApiServer
from emulator.server import EmulatorServer
from tests.clients.node import Views, needs_node, play_scenes, run_script
from tests.clients.replays import Recorded, bases, record
from tests.clients.scenes import Scenes
from tests.clients.seen import STICKER
from tests.emulator.queueing import SMALL
from tests.proxy.stage import SERVER_PROXY, Stage, proxying

pytestmark = needs_node

AS_IT_ENDED = {"x-recorder-outcome": "any"}
SLOWLY = {"x-recorder-speed": "0.2"}
"""Node forgets what it has not handed on when a connection is cut, so the cut comes well after."""

NOT_AGAIN = {
    "stream a split character",  # the client breaks characters cut in two; events are replayed whole
    "stream a redirect",  # where to is not recorded
    "run a redirect",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded[Views]:
    def see(stage: Stage, scenes: Scenes) -> Views:
        where = {"proxyUrl": f"{stage.server.url}{SERVER_PROXY}"}
        return play_scenes(scenes, where, go=stage.upstream.url)

    path: Path = tmp_path_factory.mktemp("replays") / "log.db"
    return record(f"sqlite:///{path}", see)


def assert_seen_again(views: Views, recorded: Recorded[Views]) -> None:
    def comparable(of: Views) -> Views:
        return {name: seen for name, seen in of.items() if name not in NOT_AGAIN}

    assert comparable(views) == comparable(recorded.seen)


def test_everything_is_seen_again_where_the_client_asks_for_a_replay(
    recorded: Recorded[Views],
) -> None:
    headers = {"x-recorder-mode": "replay", **AS_IT_ENDED, **SLOWLY}
    with recorded.served() as (_, server):
        where = {"proxyUrl": f"{server.url}{SERVER_PROXY}", "headers": headers}
        assert_seen_again(play_scenes(recorded.scenes, where), recorded)


def test_everything_is_seen_again_where_the_recorder_is_set_to_replay(
    recorded: Recorded[Views],
) -> None:
    with recorded.served(mode="replay") as (_, server):
        where = {"fal": f"{server.url}/fal", "headers": {**AS_IT_ENDED, **SLOWLY}}
        assert_seen_again(play_scenes(recorded.scenes, where), recorded)


def test_everything_is_seen_again_at_the_addresses_of_the_runs(recorded: Recorded[Views]) -> None:
    with recorded.served() as (rec, server):
        where = {"bases": bases(rec, server), "headers": SLOWLY}
        assert_seen_again(play_scenes(recorded.scenes, where), recorded)


def test_a_queued_run_is_seen_again(sqlite_url: str) -> None:
    scenes = [
        {"name": mode, "kind": "subscribe", "mode": mode, "workflow": STICKER, "input": SMALL}
        for mode in ("polling", "streaming")
    ]

    def seen(server: ApiServer) -> Any:
        proxy_url = f"{server.url}{SERVER_PROXY}"
        return run_script("scenes.mjs", json.dumps({"proxyUrl": proxy_url, "scenes": scenes}))

    with EmulatorServer() as emulator, proxying(sqlite_url, emulator.url) as (_, server):
        original = seen(server)
    with proxying(sqlite_url, "http://127.0.0.1:9", mode="replay") as (_, server):
        again = seen(server)
    for mode in ("polling", "streaming"):
        assert again[mode]["data"] == original[mode]["data"]
        assert set(again[mode]["updates"]) == {"COMPLETED"}
