"""Scenes that were recorded, to be played again when upstream is gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from api.server import ApiServer
from recorder.bootstrap import Recorder
from tests.clients.scenes import Scenes
from tests.proxy.stage import Stage, proxying, staged
from tests.proxy.upstream import Do, Upstream

NOBODY = "http://127.0.0.1:9"

_Seen = TypeVar("_Seen")


class Recorded(NamedTuple, Generic[_Seen]):
    """Recorded scenes.

    Attributes:
        database_url: Has their runs.
        scenes: What was played.
        seen: What the client saw of it.
    """

    database_url: str
    scenes: Scenes
    seen: _Seen

    def served(self, **settings: Any) -> AbstractContextManager[tuple[Recorder, ApiServer]]:
        """A recorder with those runs and these settings of the proxy; nobody stands for fal."""
        return proxying(self.database_url, NOBODY, **settings)


def record(database_url: str, see: Callable[[Stage, Scenes], _Seen]) -> Recorded[_Seen]:
    """Lets a client see all scenes through a recording proxy."""
    with Upstream() as upstream, staged(database_url, upstream) as stage:
        scenes = Scenes(upstream)
        upstream.play(Do.READ)
        seen = see(stage, scenes)
        stage.head()
        return Recorded(database_url, scenes, seen)


def bases(rec: Recorder, server: ApiServer) -> dict[str, str]:
    """Where each recorded run is played again, by the path it was called at."""
    return {
        f"/{run.workflow}{'/stream' if run.mode == 'stream' else ''}": (
            f"{server.url}/replay/{quote(run.request_id, safe='')}"
        )
        for run in rec.runs(limit=1_000).runs
    }
