"""Which web pages may use the proxy.

A browser lets a page call another origin only if that origin says so, but for simple requests it asks
after the fact. So a request that comes from a page of an origin not allowed is refused before anything is
sent on: it might start a run on the recorder's key.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from api.hosts import Hosts

REFUSED: Final = "refused"
_EXPOSED: Final = b"x-fal-request-id, x-fal-billable-units, x-fal-error-type, x-fal-served-from"
_MAX_AGE_S: Final = "600"


def allowed_origin(scope: Scope, origins: Collection[str], hosts: Hosts) -> str | None:
    """The origin to allow; None where the request names none or comes from our own pages.

    A page is our own where it has the same host as we, and a name that we go by.

    Returns:
        `REFUSED` where the origin is not among those allowed.
    """
    asked = Headers(scope=scope)
    origin = asked.get("origin")
    if origin is None:
        return None
    if urlsplit(origin).netloc == asked.get("host") and hosts.knows(scope):
        return None
    return origin if origin in origins or "*" in origins else REFUSED


def is_preflight(scope: Scope) -> bool:
    """Whether the browser asks what a page may do."""
    return (
        scope["method"] == "OPTIONS"
        and Headers(scope=scope).get("access-control-request-method") is not None
    )


def answer_preflight(scope: Scope, origin: str | None) -> Response:
    """What a page may do: everything the proxy can."""
    asked = Headers(scope=scope)
    answer = Response(status_code=204)
    answer.raw_headers.extend(headers_for(origin))
    answer.headers["access-control-allow-methods"] = "GET, POST, PUT"
    answer.headers["access-control-allow-headers"] = asked.get("access-control-request-headers", "")
    answer.headers["access-control-max-age"] = _MAX_AGE_S
    return answer


def headers_for(origin: str | None) -> list[tuple[bytes, bytes]]:
    """What an answer says to the browser."""
    if origin is None or origin == REFUSED:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]
