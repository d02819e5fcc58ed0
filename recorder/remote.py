"""A log behind a recorder service, over HTTP, for processes that record and have no database.

Only what a log writer needs: the writer brings the queue, the batches, the spool, the pauses between tries and
the gaps, exactly as it does before a database. A service that does not answer is a log that is away.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from recorder import lines, redaction
from recorder.errors import EventRefused, LogError, LogUnavailable, RunClosed, SequenceConflict
from recorder.events import EventType, LoggedEvent, NewEvent
from recorder.lease import BEATS_PER_LEASE, LEASE_S
from recorder.store.log import READ_BATCH, Receipt

_log = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
"""A longer batch goes out in several requests; one event may be longer."""

_TIMEOUT: Final = httpx.Timeout(10.0, connect=3.0)
_NDJSON: Final = {"content-type": "application/x-ndjson"}
_REFUSED: Final = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
_NO_SENSE: Final = "the recorder service's answer makes no sense"

_Answer = TypeVar("_Answer")


class _Outcome(msgspec.Struct):
    position: int | None = None
    chain: str | None = None
    problem: str | None = None
    next_seq: int | None = None


class _Outcomes(msgspec.Struct):
    outcomes: list[_Outcome]


class _Event(msgspec.Struct):
    position: int
    seq: int
    type: EventType
    elapsed_us: int
    frame_base64: bytes | None = None


class _Events(msgspec.Struct):
    events: list[_Event]


class _SignOfLife(msgspec.Struct):
    lease_s: float


class _Problem(msgspec.Struct):
    detail: str = ""


class RemoteLog:
    """The log of a recorder service; see `AppendLog`. Safe to use from several threads.

    Requests go past httpx's client to its transport: a client writes a line into the program's log for every
    batch. So no proxy of the environment is used, and no redirect is followed.

    Args:
        url: The service's address, without `/api/v1`.
        instance: See `AppendLog`.

    Attributes:
        url: The service's address, without a slash at its end.

    Raises:
        LogError: This is no address of a service.
    """

    def __init__(self, url: str, *, instance: str | None = None) -> None:
        self.instance = instance or str(uuid.uuid4())
        self.url = _checked(url)
        self._transport = httpx.HTTPTransport()

    def append(self, batch: Sequence[NewEvent]) -> Sequence[Receipt | LogError]:
        """See `AppendLog.append`."""
        outcomes: list[Receipt | LogError] = []
        for events, body in _bodies(batch):
            outcomes += self._append(events, body)
        return outcomes

    def read_run(
        self, request_id: str, after_seq: int = -1, limit: int = READ_BATCH
    ) -> list[LoggedEvent]:
        """See `AppendLog.read_run`; of the hash chain nothing is told, and no lifted ids."""
        query = f"after={after_seq}&limit={limit}&frames=true"
        answer = self._ask("GET", f"/runs/{quote(request_id, safe='')}/events?{query}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        return [_logged(request_id, each) for each in _read(answer, _Events).events]

    def beat(self) -> float:
        """Gives a sign of life, for whose lack the service closes our runs.

        Returns:
            How long we may be silent, in seconds.

        Raises:
            LogUnavailable: The service did not take it.
        """
        return _read(self._ask("PUT", f"/recorders/{self.instance}"), _SignOfLife).lease_s

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def _append(self, events: Sequence[NewEvent], body: bytes) -> list[Receipt | LogError]:
        answer = self._ask("POST", "/events", body)
        if answer.status_code not in _REFUSED:
            return _outcomes(events, _read(answer, _Outcomes).outcomes)
        if len(events) == 1:
            return [EventRefused(_refusal(answer))]
        # One event the service does not take must not cost the others of its batch their place.
        half = len(events) // 2
        return [
            *self._append(events[:half], b"".join(map(lines.encode, events[:half]))),
            *self._append(events[half:], b"".join(map(lines.encode, events[half:]))),
        ]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        request = httpx.Request(
            method,
            f"{self.url}/api/v1{path}",
            content=body,
            headers=None if body is None else _NDJSON,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )
        try:
            answer = self._transport.handle_request(request)
            try:
                answer.read()
            finally:
                answer.close()
        except httpx.HTTPError as error:
            reason = str(error).strip() or type(error).__name__
            raise LogUnavailable(f"the recorder service does not answer: {reason}") from None
        return answer


class RemoteWatch:
    """Gives a remote recorder's signs of life, and takes over the spools of dead ones of this machine.

    Args:
        log: The service's; its instance is the recorder this beats for.
        adopt: Takes over spools; called at every look.
    """

    def __init__(self, log: RemoteLog, *, adopt: Callable[[], object] = lambda: None) -> None:
        self._log = log
        self._adopt = adopt
        self._lease_s = LEASE_S

    def run(self, stop: threading.Event) -> None:
        """Beats until told to stop; an absent service is tried again."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # whoever stops beating loses its runs
                _log.warning("no sign of life could be given: %s", error)
            stop.wait(self._lease_s / BEATS_PER_LEASE)

    def look(self) -> None:
        """Adopts and beats, once."""
        self._adopt()
        self._lease_s = self._log.beat()


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address or "?" in url or "#" in url or "@" in parts.netloc:
        shown = redaction.url(url)
        raise LogError(f"{shown} is no address of a recorder service (http://host:port)")
    return url.rstrip("/")


def _bodies(batch: Sequence[NewEvent]) -> Iterator[tuple[Sequence[NewEvent], bytes]]:
    """A batch in pieces, each with its body."""
    start = size_bytes = 0
    encoded: list[bytes] = []
    for end, event in enumerate(batch):
        line = lines.encode(event)
        if encoded and size_bytes + len(line) > MAX_REQUEST_BYTES:
            yield batch[start:end], b"".join(encoded)
            start, size_bytes, encoded = end, 0, []
        encoded.append(line)
        size_bytes += len(line)
    if encoded:
        yield batch[start:], b"".join(encoded)


def _outcomes(events: Sequence[NewEvent], told: list[_Outcome]) -> list[Receipt | LogError]:
    try:
        return [_outcome(event, each) for event, each in zip(events, told, strict=True)]
    except ValueError:
        raise LogUnavailable(_NO_SENSE) from None


def _outcome(event: NewEvent, told: _Outcome) -> Receipt | LogError:
    match told:
        case _Outcome(position=int(position), chain=str(chain)):
            return Receipt(position, bytes.fromhex(chain))
        case _Outcome(problem="sequence-conflict", next_seq=int(next_seq)):
            return SequenceConflict(event.request_id, event.seq, next_seq=next_seq)
        case _Outcome(problem="run-closed"):
            return RunClosed(event.request_id, event.seq)
        case _:
            raise ValueError(told)


def _logged(request_id: str, told: _Event) -> LoggedEvent:
    return LoggedEvent(
        position=told.position,
        request_id=request_id,
        seq=told.seq,
        type=told.type,
        node_id=None,
        app_id=None,
        step_request_id=None,
        received_at=0,
        elapsed_us=told.elapsed_us,
        frame=told.frame_base64,
        salt=None,
        frame_digest=b"",
        chain=b"",
    )


def _read(answer: httpx.Response, kind: type[_Answer]) -> _Answer:
    if answer.status_code != HTTPStatus.OK:
        raise LogUnavailable(_refusal(answer))
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise LogUnavailable(_NO_SENSE) from None


def _refusal(answer: httpx.Response) -> str:
    try:
        detail = msgspec.json.decode(answer.content, type=_Problem).detail
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        detail = ""
    return f"the recorder service answered {answer.status_code}{detail and ': '}{detail}"
