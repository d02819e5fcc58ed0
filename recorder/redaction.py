"""What must never reach the log, a log line or a traceback, and how it is taken out.

Credentials of fal travel as `Authorization: Key …` or `Bearer …`, as cookies, and as
`?fal_jwt_token=…` in a URL. Headers are kept only if they are known to be harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

REDACTED: Final = "[redacted]"

_SECRET_PARAMETERS: Final = frozenset(
    {"fal_jwt_token", "token", "key", "api_key", "access_token", "signature"}
)
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
_SECRET_WORDS: Final = ("authorization", "cookie", "token", "secret", "key", "jwt", "signature")


def headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns the headers worth keeping, names in lower case, repeated ones joined by ", ".

    Credentials are shown as present but not with their value; headers we do not know are left out,
    except fal's own (`x-fal-…`).
    """
    kept: dict[str, str] = {}
    for given_name, value in pairs:
        name = given_name.lower()
        if any(word in name for word in _SECRET_WORDS):
            kept[name] = REDACTED
        elif name in _KEPT_HEADERS or name.startswith("x-fal-"):
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def url(address: str) -> str:
    """Returns the URL without user, password, fragment, or the value of any secret parameter."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    query = urlencode(
        [
            (name, REDACTED if name.lower() in _SECRET_PARAMETERS else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ],
        safe="[]",
    )
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
