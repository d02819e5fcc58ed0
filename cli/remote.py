"""Following a recorder service from afar: every event once, whatever happens to the connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import msgspec
from httpx_sse import SSEError, connect_sse

from cli.errors import CliError
from recorder import redaction, sse
from recorder.events import OWN_TYPES, EventType, LoggedEvent

_CONNECT_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 45.0
"""A service that has nothing to send says so every 15 s; after three times that it is gone."""

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 15.0


class RemoteEvent(msgspec.Struct, frozen=True):
    """An event as the service tells it; `text` is the JSON it came as."""

    position: int
    text: str


class _Health(msgspec.Struct):
    log_position: int | None


class _Told(msgspec.Struct):
    """See `api.models.EventModel`."""

    position: int
    request_id: str
    seq: int
    type: EventType
    node_id: str | None
    app_id: str | None
    step_request_id: str | None
    received_at: str
    elapsed_us: int
    payload: msgspec.Raw
    payload_base64: bytes | None = None
    erased: bool = False


class RemoteLog:
    """The log of a recorder service.

    Args:
        url: The service's address.
        client: Asks it; by default one that takes a silent service for gone.
        pause: Waits between two tries.
        tell: Says once that the connection is lost.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.Client | None = None,
        pause: Callable[[float], object] = time.sleep,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._url = url.rstrip("/")
        self._client = client or new_client()
        self._pause = pause
        self._tell = tell
        self._was_there = False

    def position(self) -> int:
        """The end of the log as of now.

        Raises:
            CliError: The service does not answer, or does not know.
        """
        try:
            answer = self._client.get(f"{self._url}/healthz")
            health = msgspec.json.decode(answer.content, type=_Health)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._lost(_reason(error)) from None
        except msgspec.MsgspecError:
            raise self._lost("is no recorder service") from None
        if health.log_position is None:
            raise self._lost("cannot reach its log")
        return health.log_position

    def follow(self, after: int) -> Iterator[RemoteEvent]:
        """Every event above a position, in order, each once; goes on until it is closed.

        A lost connection is taken up again after the last event that came, with growing pauses.

        Raises:
            CliError: The service cannot be reached in the first place, or refuses.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                for event in self._events(after):
                    after = event.position
                    pause_s = _FIRST_PAUSE_S
                    yield event
                reason = "it ended the stream"
            except (httpx.TransportError, httpx.InvalidURL, _Unwilling) as error:
                reason = _reason(error)
            if not self._was_there:
                raise self._lost(reason)
            if pause_s == _FIRST_PAUSE_S:
                self._tell(f"{redaction.url(self._url)}: connection lost ({reason}); trying again")
            self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _events(self, after: int) -> Iterator[RemoteEvent]:
        """What one connection brings."""
        url, last = f"{self._url}/api/v1/events", {"last-event-id": str(after)}
        with connect_sse(self._client, "GET", url, headers=last) as source:
            self._check(source.response)
            self._was_there = True
            try:
                for event in source.iter_sse():
                    # httpx-sse makes an event without data of every ping that follows an id.
                    if event.data and int(event.id) > after:
                        after = int(event.id)
                        yield RemoteEvent(after, event.data)
            except (SSEError, ValueError):
                raise self._lost("is no recorder service") from None

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 500:
            raise _Unwilling(f"it answers {answer.status_code}")
        if answer.status_code != 200:
            raise self._lost(f"answers {answer.status_code}")

    def _lost(self, reason: str) -> CliError:
        return CliError(f"{redaction.url(self._url)}: {reason}")


class _Unwilling(Exception):
    """The service answers that something is wrong with it."""


def new_client() -> httpx.Client:
    """A client for streams that are never silent for long."""
    timeout = httpx.Timeout(_CONNECT_TIMEOUT_S, read=_SILENCE_S)
    return httpx.Client(timeout=timeout)


def logged(event: RemoteEvent) -> LoggedEvent:
    """An event to be shown: what it says is there, the bytes around it and the proof are not."""
    from api.times import read_rfc3339

    told = msgspec.json.decode(event.text, type=_Told)
    payload = told.payload_base64 or bytes(told.payload)
    if told.erased:
        frame = None
    elif told.type in OWN_TYPES or told.type == "answer":
        frame = payload
    else:
        frame = sse.encode(payload.decode("utf-8", "surrogatepass"))
    return LoggedEvent(
        position=told.position,
        request_id=told.request_id,
        seq=told.seq,
        type=told.type,
        node_id=told.node_id,
        app_id=told.app_id,
        step_request_id=told.step_request_id,
        received_at=read_rfc3339(told.received_at),
        elapsed_us=told.elapsed_us,
        frame=frame,
        salt=None,
        frame_digest=b"",
        chain=b"",
    )


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
