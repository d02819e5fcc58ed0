"""What an upstream may do to a client, each scene at a workflow of its own."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Final

from tests.builders import completion, error, frame, output, submit
from tests.proxy.upstream import (
    LAST_CHUNK,
    Do,
    Step,
    Upstream,
    chunk,
    chunked_head,
    head,
    kept,
    sized,
)

PING: Final = b": ping - 2025-01-01 00:00:00\n\n"
STARTED: Final = submit("a")
DONE: Final = completion("a", inference_s=0.5) + output({"images": [{"url": "https://x.test/1"}]})
VALIDATION: Final = b'{"detail": [{"loc": ["body", "seed"], "msg": "no", "type": "value_error"}]}'
PAGE: Final = b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>"
SPLIT: Final = 'data: {"type": "output", "output": "é…€"}\r\n\r\n'.encode()
INSIDE: Final = SPLIT.index("é".encode()) + 1
"""A place in the middle of a character."""


def stream(name: str, *pieces: Step, end: bytes = LAST_CHUNK) -> tuple[Step, ...]:
    """A stream whose pieces each go out in a chunk."""
    chunks = [chunk(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return (chunked_head(name), *chunks, end)


def answer(name: str, status: str, body: bytes, *fields: str) -> tuple[Step, ...]:
    return (sized(name, body, *fields, status=status),)


def page(name: str, status: str) -> tuple[Step, ...]:
    length = f"content-length: {len(PAGE)}"
    return (head(name, length, status=status, media_type="text/html") + PAGE,)


class Scenes:
    """The scenes set up at an upstream, one after the other played by a client.

    A scene in which the moment matters goes on when the client has asked for `/go/{name}`, which it does
    once it has seen an event.

    Args:
        upstream: Where; it plays `Do.READ` beside.

    Attributes:
        streams: The names of those that end a stream in some way.
        calls: The names of those that answer a plain call.
        resets: Connections that are reset, and the cuts they are with a proxy.
        waiting: The names of those that go on when they are told to.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.streams: list[str] = []
        self.calls: list[str] = []
        self.resets: dict[str, str] = {}
        self.waiting: set[str] = set()
        self._upstream = upstream
        self._add_good_streams()
        self._add_odd_events()
        self._add_torn_streams()
        self._add_answers()

    def _add_good_streams(self) -> None:
        self._stream("whole", STARTED, PING, DONE)
        self._stream("in one piece", STARTED + PING + DONE)
        self._stream("a byte at a time", *(bytes([byte]) for byte in STARTED + output()))
        self._stream("line ends as fal sends them", (STARTED + PING + DONE).replace(b"\n", b"\r\n"))
        self._stream("an error event", STARTED, error("a", status=422, body={"detail": "no"}))
        self._stream("events after an error", STARTED, error("a"), DONE)
        self._stream("an error without a node", error())
        self._stream("no output", STARTED)
        self._stream("nothing at all")
        self._stream("pings alone", PING, PING)
        self._stream("no last blank line", STARTED, output()[:-1])
        go = self._gate("silence")
        self._stream("silence", STARTED, go, PING, PING, DONE)

    def _add_odd_events(self) -> None:
        self._stream("bad JSON", STARTED, frame('{"type": '), DONE)
        self._stream("a done marker", STARTED, output(), frame("[DONE]"))
        self._stream("no data", STARTED, b"data:\n\n", DONE)
        self._stream("not an object", STARTED, frame("[1, null]"), DONE)
        self._stream(
            "a huge integer", frame('{"type": "output", "output": {"seed": 12345678901234567890}}')
        )
        self._stream("a byte order mark", b"\xef\xbb\xbf" + STARTED, DONE)
        self._stream("fields of all kinds", b"id: 1\nevent: e\nretry: 10\n" + STARTED, DONE)
        go = self._gate("a split character")
        self._stream("a split character", STARTED, SPLIT[:INSIDE], go, SPLIT[INSIDE:])

    def _add_torn_streams(self) -> None:
        for where, rest in (("between events", b""), ("in an event", DONE[:20])):
            cut, reset = f"cut {where}", f"reset {where}"
            sent = chunk(STARTED + rest)
            # Node takes a cut for an end where it was told that the connection will be closed.
            self._put(cut, (kept(chunked_head(cut)), sent, self._gate(cut)))
            self._put(reset, (kept(chunked_head(reset)), sent, self._gate(reset), Do.RESET))
            self.streams.append(cut)
            self.resets[reset] = cut
        length = f"content-length: {len(STARTED + DONE)}"
        self._put("short of its length", (kept(head("short of its length", length)), STARTED))
        self._put("up to its length", (head("up to its length", length), STARTED + DONE))
        self._put("up to its end", (head("up to its end"), STARTED + DONE))
        self.streams += ["short of its length", "up to its length", "up to its end"]

    def _add_answers(self) -> None:
        for status in (400, 401, 402, 403, 404, 405, 409, 410, 413, 429, 500, 501, 502, 503, 504):
            body = b'{"detail": "it is %d"}' % status
            words = f"{status} {HTTPStatus(status).phrase}"
            self._answer(f"status {status}", answer("x", words, body))
        self._answer("a validation error", answer("x", f"422 {HTTPStatus(422).phrase}", VALIDATION))
        self._answer("a page", page("x", "500 Internal Server Error"))
        self._answer("nginx", page("x", "502 Bad Gateway"))
        self._answer("a page for an answer", page("x", "200 OK"))
        self._answer("no body", answer("x", "500 Internal Server Error", b""))
        user = "x-fal-request-timeout-type: user"
        self._answer("a timeout of the user", answer("x", "504 Gateway Timeout", b"{}", user))
        kind = "x-fal-error-type: request_timeout"
        self._answer("a kind of error", answer("x", "504 Gateway Timeout", b"{}", kind))
        self._answer("an output", answer("x", "200 OK", b'{"images": [], "seed": 12345}'))
        self._answer("no JSON", answer("x", "200 OK", b"not JSON"))
        self._answer("nothing", answer("x", "200 OK", b""))
        moved = f"location: {self._upstream.url}/elsewhere"
        self._upstream.route("/elsewhere", *answer("x", "200 OK", b'{"moved": true}'))
        self._answer("a redirect", answer("x", "307 Temporary Redirect", b"", moved))

    def _stream(self, name: str, *pieces: Step) -> None:
        self._put(name, stream(name, *pieces))
        self.streams.append(name)

    def _answer(self, name: str, steps: tuple[Step, ...]) -> None:
        self._put(name, steps)
        self.streams.append(name)
        self.calls.append(name)

    def _gate(self, name: str) -> threading.Event:
        """Opens when the client has asked for it, which it does anew in every playing."""
        go = threading.Event()
        self._upstream.route(f"/go/{at(name)}", go.set, sized(None, b"{}"))
        self.waiting.add(name)
        return go

    def _put(self, name: str, steps: tuple[Step, ...]) -> None:
        gates = [step.clear for step in steps if isinstance(step, threading.Event)]
        for suffix in ("", "/stream"):
            self._upstream.route(f"/{workflow(name)}{suffix}", *gates, *steps)


def at(name: str) -> str:
    """A scene's name in a path."""
    return name.replace(" ", "-").lower()


def workflow(name: str) -> str:
    """The workflow at which a scene is played."""
    return f"workflows/scenes/{at(name)}"
