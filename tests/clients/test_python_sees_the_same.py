"""fal's Python client with the proxy and without it: the same events, the same exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fal_client
import pytest

from tests.clients.looking import Looking, Seen
from tests.clients.scenes import Scenes
from tests.proxy.stage import Stage, staged
from tests.proxy.upstream import LAST_CHUNK, Do, Upstream, chunk, chunked_head, fresh_id
from tests.trust.hostile.cases import IDS, ORDERS, PAYLOADS

HOSTILE = {**PAYLOADS, **IDS, **ORDERS}
LARGE = {"ten-megabytes", "ten-thousand-nodes"}  # these are in tests/proxy/test_bytes.py


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


@pytest.fixture(autouse=True)
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client makes of the first answer; see test_nobody_pays_twice for the others."""
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)


@pytest.fixture(scope="module")
def direct(stage: Stage, scenes: Scenes) -> Iterator[Looking]:
    looking = Looking(stage.upstream.url, scenes, go=stage.upstream.url)
    yield looking
    looking.close()


@pytest.fixture(scope="module")
def through(stage: Stage, scenes: Scenes) -> Iterator[Looking]:
    looking = Looking(stage.url, scenes, go=stage.upstream.url)
    yield looking
    looking.close()


def test_the_scenes_are_seen_as_they_are_documented(direct: Looking) -> None:
    """What the comparisons below compare is not all the same."""
    ends = {
        name: direct.stream(name)[-1]
        for name in ("whole", "bad JSON", "a done marker", "status 503", "cut in an event")
    }
    raised = {name: end[0] for name, end in ends.items() if name != "whole"}
    assert ends["whole"] == "the end"
    assert raised == {
        "bad JSON": "JSONDecodeError",
        "a done marker": "JSONDecodeError",
        "status 503": "SSEError",
        "cut in an event": "RemoteProtocolError",
    }


def test_every_stream_is_seen_alike(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.stream(name) for name in scenes.streams}
    assert {name: through.stream(name) for name in scenes.streams} == expected


def test_every_stream_is_seen_alike_by_the_asynchronous_client(
    direct: Looking, through: Looking, scenes: Scenes
) -> None:
    assert through.streams_async(scenes.streams) == direct.streams_async(scenes.streams)


def test_a_reset_is_seen_as_a_cut(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.stream(cut) for name, cut in scenes.resets.items()}
    assert {name: through.stream(name) for name in scenes.resets} == expected


def test_every_plain_call_is_seen_alike(direct: Looking, through: Looking, scenes: Scenes) -> None:
    expected = {name: direct.call(name) for name in scenes.calls}
    assert {name: through.call(name) for name in scenes.calls} == expected


def test_every_hostile_body_is_seen_alike(stage: Stage, direct: Looking, through: Looking) -> None:
    def seen(looking: Looking, name: str) -> Seen:
        body = HOSTILE[name].make()
        stage.upstream.answer(chunked_head(fresh_id()), chunk(body) if body else b"", LAST_CHUNK)
        return looking.stream(name, "workflows/tests/hostile")

    names = sorted(set(HOSTILE) - LARGE)
    expected = {name: repr(seen(direct, name)) for name in names}
    assert {name: repr(seen(through, name)) for name in names} == expected
