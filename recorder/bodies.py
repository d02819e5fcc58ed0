"""What the bytes of a body become: events, each with the bytes it came from.

Whatever the reader, the raw bytes of all events in order, followed by the trailing bytes that closing
returns, are the exact body that was fed.
"""

from __future__ import annotations

from typing import Protocol

from recorder import sse
from recorder.documents import Opened
from recorder.events import Answer, Unrecognised, WireEvent, parse

Part = tuple[WireEvent, bytes]
"""An event and its exact bytes."""

MAX_ANSWER_BYTES = sse.MAX_FRAME_BYTES
"""A longer answer becomes several events, so that memory and rows stay bounded."""


class Body(Protocol):
    """Reads a body as it arrives."""

    def feed(self, chunk: bytes) -> list[Part]:
        """What the next bytes complete, in order."""

    def close(self, *, whole: bool) -> tuple[list[Part], bytes]:
        """Ends the body.

        Args:
            whole: Whether it came to its own end.

        Returns:
            What its end completes, and the bytes that became no event.
        """


def body_of(document: Opened) -> Body:
    """The reader for the answer an `opened` event tells of."""
    if document.mode == "stream":
        return StreamBody()
    if document.status is not None and document.status >= 300:
        return PlainBody(refused=True)
    if is_event_stream(document.response_headers.get("content-type", "")):
        return FramedBody()
    return PlainBody()


def is_event_stream(content_type: str) -> bool:
    """Whether a content type says server-sent events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


class StreamBody:
    """The stream of a workflow: one event a frame."""

    def __init__(self) -> None:
        self._decoder = sse.Decoder()

    def feed(self, chunk: bytes) -> list[Part]:
        """See `Body.feed`."""
        return [
            (Unrecognised("oversize") if frame.oversize else parse(frame.data), frame.raw)
            for frame in self._decoder.feed(chunk)
        ]

    def close(self, *, whole: bool) -> tuple[list[Part], bytes]:  # noqa: ARG002  # see Body
        """See `Body.close`; a block without its blank line is no event, however the body ended."""
        return [], self._decoder.close()


class FramedBody:
    """The stream of an app that is no workflow: a piece of its answer a frame, unread."""

    def __init__(self) -> None:
        self._decoder = sse.Decoder()

    def feed(self, chunk: bytes) -> list[Part]:
        """See `Body.feed`."""
        return [(Answer(), frame.raw) for frame in self._decoder.feed(chunk)]

    def close(self, *, whole: bool) -> tuple[list[Part], bytes]:  # noqa: ARG002  # see Body
        """See `Body.close`."""
        return [], self._decoder.close()


class PlainBody:
    """The answer of a plain call: one event, made when it is whole.

    Args:
        refused: Upstream answered with an error: its body is no answer, but trailing bytes.
    """

    def __init__(self, *, refused: bool = False) -> None:
        self._refused = refused
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def feed(self, chunk: bytes) -> list[Part]:
        """See `Body.feed`."""
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        return [(Answer(), self._take())] if self._pending_bytes > MAX_ANSWER_BYTES else []

    def close(self, *, whole: bool) -> tuple[list[Part], bytes]:
        """See `Body.close`."""
        rest = self._take()
        if whole and rest and not self._refused:
            return [(Answer(), rest)], b""
        return [], rest

    def _take(self) -> bytes:
        taken = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return taken
