"""Where runs are played again: what a replay answers with before the first event."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from api.live import Live
from api.replaying import Player, Playing, Score
from api.streams import Streams
from recorder import replay
from recorder.errors import RunNotFound
from recorder.events import LoggedEvent, Opened, lift
from recorder.store.log import EventLog

_EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_FOR_EVER = (b"cache-control", b"private, max-age=31536000, immutable")
_NOT_AT_ALL = (b"cache-control", b"no-store")


class Stage:
    """Plays runs of a log.

    Args:
        log: Where they are.
        live: Where those go on that have not ended.
        streams: Knows of all that is being played.
    """

    def __init__(self, log: EventLog, live: Live, streams: Streams) -> None:
        self._log = log
        self._live = live
        self._streams = streams

    def replay(
        self,
        request_id: str,
        playing: Playing,
        known_etag: str | None = None,
        *,
        cacheable: bool = True,
    ) -> ASGIApp:
        """A run, to be played to a client; a 304 where the client has it already.

        Reads the log; not for the event loop.

        Args:
            request_id: The run.
            playing: How.
            known_etag: What the client has.
            cacheable: Whether to say how long the answer can be kept.

        Raises:
            RunNotFound: There is no such run.
        """
        lifted = lift(request_id) or ""
        last = self._log.last_of_run(lifted)
        if last is None:
            raise RunNotFound(request_id)
        [first] = self._log.read_run(lifted, limit=1)
        etag = self._etag(last, playing)
        if etag is not None and known_etag is not None and etag.decode() in known_etag:
            return Response(status_code=304, headers={"etag": etag.decode()})
        caching = [_NOT_AT_ALL] if etag is None else [_FOR_EVER, (b"etag", etag)]
        if not cacheable:
            caching = []
        opened = first.event if first.type == "opened" else None
        if playing.raw and isinstance(opened, Opened):
            status, headers = opened.status or 200, replay.answer_headers(opened)
        else:
            status, headers = 200, [_EVENT_STREAM]
        score = Score(
            request_id=lifted,
            playing=playing,
            before_us=self._before_us(lifted, playing.after_seq),
            status=status,
            headers=[*headers, *caching],
        )
        return Player(self._log, self._live, self._streams, score)

    def _before_us(self, request_id: str, after_seq: int) -> int:
        """When the event before the first one came; the run's beginning where it is the first."""
        if after_seq < 0:
            return 0
        before = self._log.read_run(request_id, after_seq - 1, limit=1)
        return before[0].elapsed_us if before and before[0].seq == after_seq else 0

    def _etag(self, last: LoggedEvent, playing: Playing) -> bytes | None:
        """Names the stream of a closed run, None for one that goes on.

        An erased frame changes it, which is the one thing that can.
        """
        if last.type != "closed":
            return None
        erased = self._log.count_erased(last.request_id)
        how = msgspec.json.encode([playing, erased])
        return b'"%s"' % hashlib.sha256(last.chain + how).hexdigest()[:32].encode()
