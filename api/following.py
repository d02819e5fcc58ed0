"""The log as a live stream: every event of every run, as it is committed."""

from __future__ import annotations

import msgspec
from starlette.types import Receive, Scope, Send

from api import events_json
from api.live import Live
from api.proxy.client import Client
from api.replaying import PING
from api.streams import Streams
from recorder.events import LoggedEvent

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class EventFilter(msgspec.Struct, frozen=True):
    """Which events to send; what is None does not filter. Ids are as they are lifted."""

    request_id: str | None = None
    type: str | None = None
    node_id: str | None = None
    app_id: str | None = None

    def takes(self, logged: LoggedEvent) -> bool:
        """Whether an event is wanted."""
        return (
            self.request_id in (None, logged.request_id)
            and self.type in (None, logged.type)
            and self.node_id in (None, logged.node_id)
            and self.app_id in (None, logged.app_id)
        )


class Follower:
    """An ASGI app that sends what the log holds above a position, then what comes.

    Args:
        live: What to follow.
        streams: Knows of all streams under way.
        wanted: Which events to send.
        after: The position to begin after; None for the end of the log as of now.
    """

    def __init__(
        self, live: Live, streams: Streams, wanted: EventFilter, after: int | None
    ) -> None:
        self._live = live
        self._streams = streams
        self._wanted = wanted
        self._after = after

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serves the request."""
        await self._streams.serve(self._follow, scope, send)

    async def _follow(self, client: Client) -> None:
        after = self._after if self._after is not None else await self._live.position()
        await client.begin(200, _HEADERS)
        async for batch in self._live.follow(after):
            wanted = [logged for logged in batch if self._wanted.takes(logged)]
            if wanted:
                await client.write(b"".join(map(events_json.encode_block, wanted)))
            elif not batch:
                await client.write(PING)
