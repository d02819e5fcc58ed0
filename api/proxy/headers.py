"""Which headers pass, in either direction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

Pairs = list[tuple[bytes, bytes]]

CONTROL_PREFIX: Final = b"x-recorder-"
"""Headers by which a client tells the recorder, not fal, something."""

TARGET_URL: Final = b"x-fal-target-url"

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT: Final = _HOP_BY_HOP | {
    b"accept-encoding",  # upstream is asked for identity, see `to_upstream`
    b"content-length",  # made anew from the body
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"origin",
    b"referer",
    b"via",  # made anew, see `to_upstream`
    TARGET_URL,
}
_NOT_SENT_PREFIXES: Final = (b"sec-", b"x-forwarded-", CONTROL_PREFIX)
_SENT_BY_SERVER_PROXY: Final = frozenset(
    {b"accept", b"authorization", b"content-encoding", b"content-type", b"user-agent"}
)
_SENT_BY_SERVER_PROXY_PREFIXES: Final = (b"x-fal-", b"x-app-fal-")
_NOT_HANDED_ON: Final = _HOP_BY_HOP | {
    b"alt-svc",  # would lead clients past the recorder
    b"date",  # the server sends its own
    b"server",
    b"set-cookie",
    b"strict-transport-security",
}
_NOT_HANDED_ON_PREFIX: Final = b"access-control-"
"""What a page may read is between it and the recorder, and browsers refuse an answer that says it twice."""

_BODILESS: Final = frozenset({204, 304})
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Our server refuses to send it, and the client would be left without an answer."""


def get(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header; names are in lower case."""
    return next((value for each, value in headers if each == name), None)


def loses_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether our server loses the body of a request with these headers, names in lower case.

    It takes what follows a request to upgrade the connection for another protocol's. `curl --http2` and
    Java's own client send such requests by themselves.
    """
    given = dict(headers)
    has_body = b"transfer-encoding" in given or given.get(b"content-length", b"0") != b"0"
    return has_body and b"upgrade" in given and b"upgrade" in _named_by_connection(headers)


def to_upstream(headers: Sequence[tuple[bytes, bytes]], *, via: bytes, server_proxy: bool) -> Pairs:
    """The headers to send on.

    Args:
        headers: As the client sent them, names in lower case.
        via: Names this proxy (RFC 9110, 7.6.3).
        server_proxy: Whether the client speaks fal's server-proxy protocol, in which only what fal needs
            is sent on; else all is but what belongs to the connection or to the recorder.
    """
    named = _named_by_connection(headers)
    sent = [
        (name, value)
        for name, value in headers
        if name not in named and (_by_server_proxy(name) if server_proxy else _by_host_proxy(name))
    ]
    passed = [value for name, value in headers if name == b"via"]
    return [*sent, (b"accept-encoding", b"identity"), (b"via", b", ".join([*passed, via]))]


def _by_host_proxy(name: bytes) -> bool:
    return name not in _NOT_SENT and not name.startswith(_NOT_SENT_PREFIXES)


def _by_server_proxy(name: bytes) -> bool:
    return name in _SENT_BY_SERVER_PROXY or (
        name.startswith(_SENT_BY_SERVER_PROXY_PREFIXES) and name != TARGET_URL
    )


def to_client(headers: Iterable[tuple[bytes, bytes]], *, status: int) -> Pairs:
    """The headers to hand on; names in lower case.

    Args:
        headers: As upstream sent them.
        status: Of its answer; where that rules a body out, no length may promise one.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    left_out = _NOT_HANDED_ON | _named_by_connection(lowered)
    if status in _BODILESS:
        left_out |= {b"content-length"}
    return [
        (name, value)
        for name, value in lowered
        if name not in left_out
        and not name.startswith(_NOT_HANDED_ON_PREFIX)
        and not _UNSENDABLE.search(value)
    ]


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What `Connection` declares to be for this hop only."""
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers as the recorder keeps them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
