"""A proxy with its recorder, between a client and an upstream that a test directs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.events import Closed, LoggedEvent, Opened
from recorder.projections.runs import Run
from recorder.recording import body_part
from recorder.settings import ProxySettings, Settings
from tests.proxy.asking import Reply, ask
from tests.proxy.upstream import WAIT_S, Upstream

WORKFLOW = "workflows/fal-ai/sdxl-sticker"
STREAM = f"/{WORKFLOW}/stream"
CALL = f"/{WORKFLOW}"
SERVER_PROXY = "/api/fal/proxy"


class Proxied:
    """A proxy and its recorder.

    Attributes:
        rec: Where runs are recorded.
        server: Serves the proxy.
    """

    def __init__(self, rec: Recorder, server: ApiServer) -> None:
        self.rec = rec
        self.server = server
        self._position = 0
        self._workflows: dict[str, str] = {}
        self._closed: set[str] = set()

    @property
    def url(self) -> str:
        """The proxy, host-style."""
        return f"{self.server.url}/fal"

    def through(self, path: str = STREAM, **how: Any) -> Reply:
        """Asks through the proxy."""
        return ask(self.url, path, **how)

    def let_it_notice(self) -> None:
        """Returns once the server has seen whatever its sockets had to tell when this was called.

        It hears of them in turn, so who has served two requests since has heard of all.
        """
        for _ in range(2):
            assert ask(self.server.url, "/healthz", method="GET", body=b"").status == 200

    def head(self) -> int:
        """The position of the last event, once all that has happened is in the log."""
        self.let_it_notice()
        assert self.rec.writer.flush()
        return self.rec.log.head().position

    def events(self, request_id: str) -> list[LoggedEvent]:
        """A run's events, waited for until it is closed."""
        self._follow_until(lambda: request_id in self._closed)
        return list(self.rec.events(request_id))

    def run(self, request_id: str) -> Run:
        """A run, waited for until it is closed."""
        self._follow_until(lambda: request_id in self._closed)
        return self.rec.run(request_id)

    def run_of(self, workflow: str) -> Run:
        """The only run of a workflow, waited for likewise."""
        self._follow_until(lambda: bool(self._closed_runs_of(workflow)))
        [request_id] = self._closed_runs_of(workflow)
        return self.rec.run(request_id)

    def body(self, request_id: str) -> bytes:
        """The body that was recorded, waited for likewise."""
        return b"".join(map(body_part, self.events(request_id)))

    def _closed_runs_of(self, workflow: str) -> list[str]:
        return [each for each in self._closed if self._workflows.get(each) == workflow]

    def _follow_until(self, done: Callable[[], bool]) -> None:
        """Reads the log on until what it has told makes a condition true."""
        stop = threading.Event()
        timer = threading.Timer(WAIT_S, stop.set)
        timer.start()
        try:
            following = self.rec.follow(after=self._position, stop=stop)
            while not done():
                logged = next(following, None)
                assert logged is not None, "the log does not tell what is waited for"
                self._note(logged)
        finally:
            timer.cancel()

    def _note(self, logged: LoggedEvent) -> None:
        self._position = logged.position
        if isinstance(logged.event, Opened):
            self._workflows[logged.request_id] = logged.event.workflow
        elif isinstance(logged.event, Closed):
            self._closed.add(logged.request_id)


class Stage(Proxied):
    """A proxy before an upstream that a test directs.

    Attributes:
        upstream: What stands for fal, its queue below `/queue`.
    """

    def __init__(self, upstream: Upstream, rec: Recorder, server: ApiServer) -> None:
        super().__init__(rec, server)
        self.upstream = upstream

    def direct(self, path: str = STREAM, **how: Any) -> Reply:
        """Asks upstream itself."""
        return ask(self.upstream.url, path, **how)

    def both(self, path: str = STREAM, **how: Any) -> tuple[Reply, Reply]:
        """What a client sees without the proxy, and with it."""
        return self.direct(path, **how), self.through(path, **how)


def settings_for(
    database_url: str, fal_url: str, *, fal_key: str | None = None, **proxy: Any
) -> Settings:
    """The recorder's settings, with these of the proxy."""
    return Settings(
        database_url=database_url,
        fal_url=fal_url,
        fal_key=None if fal_key is None else SecretStr(fal_key),
        proxy=ProxySettings(**proxy),
    )


@contextmanager
def proxying(
    database_url: str, fal_url: str, *, port: int = 0, **settings: Any
) -> Iterator[tuple[Recorder, ApiServer]]:
    """A recorder and a server of its proxy, with these settings of the proxy."""
    chosen = settings_for(database_url, fal_url, **settings)
    with (
        recorder.open(database_url, settings=chosen) as rec,
        ApiServer(rec, port, grace_s=0) as server,
    ):
        yield rec, server


@contextmanager
def staged(
    database_url: str, upstream: Upstream, *, fal_url: str | None = None, **settings: Any
) -> Iterator[Stage]:
    """A stage with these settings, see `proxying`; fal is upstream unless said otherwise."""
    with proxying(database_url, fal_url or upstream.url, **settings) as (rec, server):
        yield Stage(upstream, rec, server)
