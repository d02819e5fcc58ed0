"""What must never reach the log, a log line or a traceback, and how it is taken out.

Credentials of fal travel as `Authorization: Key …` or `Bearer …`, as cookies, and as
`?fal_jwt_token=…` in a URL. Headers are kept only if they are known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from recorder.documents import Exchange, Opened

REDACTED: Final = "[redacted]"
UNREADABLE: Final = "[unreadable URL]"

_KEPT_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "retry-after",
        "server",
        "transfer-encoding",
        "user-agent",
        "via",
    }
)
_ADDRESS: Final = re.compile(r"\s*https?://", re.IGNORECASE)
_MAX_DEPTH: Final = 4
"""How many addresses within addresses are looked into."""

_SECRET_WORDS: Final = re.compile(
    "auth|cookie|credential|jwt|key|password|secret|signature|token", re.IGNORECASE
)


def headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns the headers worth keeping, names in lower case, repeated ones joined by ", ".

    Credentials are shown as present but not with their value; headers we do not know are left out,
    except fal's own (`x-fal-…`). A URL in one of them loses its credentials like any other.
    """
    kept: dict[str, str] = {}
    for given_name, value in pairs:
        name = given_name.lower()
        if name in _KEPT_HEADERS or (name.startswith("x-fal-") and not _is_secret(name)):
            kept[name] = f"{kept[name]}, {_shown(value)}" if name in kept else _shown(value)
        elif _is_secret(name):
            kept[name] = REDACTED
    return kept


def shows_credentials(address: str | None, named_headers: Mapping[str, str]) -> bool:
    """Whether a URL or headers that should have been through here still hold what must not be kept."""
    if any(_is_secret(name) and value != REDACTED for name, value in named_headers.items()):
        return True
    addresses = [value for value in named_headers.values() if _ADDRESS.match(value)]
    return any(_shows_credentials(each, _MAX_DEPTH) for each in [address or "", *addresses])


def tells_credentials(event: object) -> bool:
    """Whether an event that somebody else recorded tells in a document what must not be kept."""
    if isinstance(event, Opened):
        asked = shows_credentials(event.url, event.request_headers)
        return asked or shows_credentials(None, event.response_headers)
    if isinstance(event, Exchange):
        told = event.opened is not None and tells_credentials(event.opened)
        return told or shows_credentials(event.url, event.headers)
    return False


def _shows_credentials(address: str, depth: int) -> bool:
    if not depth:
        return True
    try:
        parts = urlsplit(address)
        return "@" in parts.netloc or any(
            not value.startswith(REDACTED)
            if _is_secret(name)
            else _ADDRESS.match(value) and _shows_credentials(value, depth - 1)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        )
    except ValueError:
        return True  # who knows what it holds


def _shown(value: str, depth: int = _MAX_DEPTH) -> str:
    """A value, which loses its credentials where it is a URL."""
    return _readable(value, depth) if _ADDRESS.match(value) else value


def _is_secret(name: str) -> bool:
    return _SECRET_WORDS.search(name) is not None


def url(address: str) -> str:
    """Returns the URL without user, password, fragment, or the value of any secret parameter.

    A URL that is the value of another parameter, such as where a webhook goes, is shown likewise.

    Never raises: an address that is no URL at all is replaced whole, for who knows what it holds.
    """
    return _readable(address, _MAX_DEPTH)


def _readable(address: str, depth: int) -> str:
    try:
        return _url(address, depth) if depth else UNREADABLE
    except ValueError:
        return UNREADABLE


def _url(address: str, depth: int) -> str:
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    # Without a host, what looks like a user and password may stand in the path.
    path = parts.path if host else parts.path.rpartition("@")[2]
    query = _query(parts.query, depth) if parts.query else ""
    # Put together here: Python's versions differ on what has a scheme and no host.
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    authority = f"//{host}" if host else ""
    return f"{scheme}{authority}{path}{'?' if query else ''}{query}"


def _query(written: str, depth: int) -> str:
    pairs = [
        (name, REDACTED if _is_secret(name) else _shown(value, depth - 1))
        for name, value in parse_qsl(written, keep_blank_values=True)
    ]
    return urlencode(pairs, safe="[]")


class Discreet(msgspec.Struct, frozen=True):
    """A struct with a `url` that shows nothing else of itself, and that redacted.

    Tracebacks with values, such as Rich's, ask for one of these.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address()!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """What Rich shows."""
        return [("url", self._address())]

    def _address(self) -> str:
        return url(getattr(self, "url", ""))
