"""fal's Python clients before recorded runs, upstream gone: the events, errors and end of the original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import fal_client
import pytest

from recorder.bootstrap import Recorder
from tests.clients.looking import Base, Looking, Seen
from tests.clients.replays import Recorded, bases, record
from tests.clients.scenes import Scenes, workflow
from tests.proxy.stage import Stage

Call = tuple[str, str]
"""How a scene is called, `stream` or `call`, and its name."""

Views = dict[Call, Seen]

AT_ONCE = {"replay_speed": "max"}
SHORT = "short of its length"
NOT_AGAIN = {
    "a redirect",  # where to is not recorded: a replay leads nobody to upstream
    SHORT,  # nor is the length, so the same exception tells of it in other words
}


@pytest.fixture(autouse=True, scope="module")
def no_second_try() -> Iterator[None]:
    """What the client makes of the first answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)
        yield


@pytest.fixture(scope="module")
def recorded(no_second_try: None, tmp_path_factory: pytest.TempPathFactory) -> Recorded[Views]:
    def see(stage: Stage, scenes: Scenes) -> Views:
        streams = [("stream", name) for name in [*scenes.streams, *scenes.resets]]
        calls = [("call", name) for name in scenes.calls]
        views = look(stage.url, scenes, [*streams, *calls], go=stage.upstream.url)
        return {call: seen for call, seen in views.items() if call[1] not in NOT_AGAIN}

    path: Path = tmp_path_factory.mktemp("replays") / "log.db"
    return record(f"sqlite:///{path}", see)


def look(base: Base, scenes: Scenes, calls: Iterable[Call], *, go: str | None = None) -> Views:
    """What the synchronous client sees."""
    looking = Looking(base, scenes, go=go)
    try:
        return {
            (kind, name): looking.stream(name) if kind == "stream" else looking.call(name)
            for kind, name in calls
        }
    finally:
        looking.close()


def ended(rec: Recorder, recorded: Recorded[Views]) -> Views:
    """What was seen of runs that came to an end of their own."""
    runs = rec.runs(limit=1_000).runs
    told = {(run.mode, run.workflow) for run in runs if run.status in ("completed", "failed")}
    return {
        (kind, name): seen
        for (kind, name), seen in recorded.seen.items()
        if (kind, workflow(name)) in told
    }


def test_everything_is_seen_again_at_the_addresses_of_the_runs(recorded: Recorded[Views]) -> None:
    with recorded.served(**AT_ONCE) as (rec, server):
        base = bases(rec, server).__getitem__
        assert look(base, recorded.scenes, recorded.seen) == recorded.seen


def test_every_stream_is_seen_again_by_the_asynchronous_client(recorded: Recorded[Views]) -> None:
    expected = {name: seen for (kind, name), seen in recorded.seen.items() if kind == "stream"}
    with recorded.served(**AT_ONCE) as (rec, server):
        looking = Looking(bases(rec, server).__getitem__, recorded.scenes)
        assert looking.streams_async(expected) == expected
        looking.close()


def test_a_stream_short_of_its_length_is_seen_as_a_cut_again(recorded: Recorded[Views]) -> None:
    with recorded.served(**AT_ONCE) as (rec, server):
        views = look(bases(rec, server).__getitem__, recorded.scenes, [("stream", SHORT)])
    [first, (raised, _, _)] = views["stream", SHORT]
    assert (first["type"], raised) == ("submit", "RemoteProtocolError")


def test_whatever_came_to_an_end_is_seen_again_where_the_recorder_is_set_to_replay(
    recorded: Recorded[Views],
) -> None:
    with recorded.served(mode="replay", **AT_ONCE) as (rec, server):
        expected = ended(rec, recorded)
        assert look(f"{server.url}/fal", recorded.scenes, expected) == expected
