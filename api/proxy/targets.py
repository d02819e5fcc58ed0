"""Where a request may go: exact hosts, and nothing that two parsers could read in two ways.

One parse decides and the same parse dials: a target is taken apart here, once, by a grammar far narrower
than that of URLs, and put together again from its parts. Whatever does not fit is refused, not repaired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from recorder import redaction
from recorder.capture import Host
from recorder.errors import BadTarget

RUN_ORIGIN: Final = "https://fal.run"
QUEUE_ORIGIN: Final = "https://queue.fal.run"
STORAGE_URLS: Final = frozenset(
    {
        "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3",
        "https://rest.fal.ai/storage/upload/complete-multipart?storage_type=fal-cdn-v3",
    }
)
"""What fal's own server-proxy allows beside the two hosts, to the letter."""

MAX_URL_CHARACTERS: Final = 8_192

_URL: Final = re.compile(r"(?P<origin>https?://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?)(?P<path>/.*)?")
_SEGMENT: Final = r"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+"
_PATH: Final = re.compile(
    rf"(?P<path>(?:/{_SEGMENT})*/?)(?:\?(?P<query>(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{{2}})*))?"
)
_DOTS: Final = re.compile(r"/\.+(?:/|\Z)")
_ENCODED_STRUCTURE: Final = re.compile(r"%(?:2[EeFf]|3[Bb]|5[Cc]|25|[89A-Fa-f])")
"""An encoded dot, slash, semicolon, backslash or percent sign: decoded once more, the path would be another.
And what is not ASCII, for some readers of paths turn look-alikes of these into themselves."""
_ENCODED_CONTROL: Final = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")


class Target(redaction.Discreet, frozen=True):
    """Where a request goes.

    Attributes:
        host: Which of fal's hosts that is.
        url: What to dial.
        path: Below the host, as it was written, with its query.
    """

    host: Host
    url: str
    path: str


class Targets:
    """The hosts requests may go to.

    Args:
        run_url: What stands for fal's own run host; usually that itself.
        queue_url: The same for the queue.
        allowed: Further origins, such as `https://rest.fal.ai`, open to any path.
    """

    def __init__(self, run_url: str, queue_url: str, allowed: Iterable[str] = ()) -> None:
        self._bases: dict[Host, str] = {"run": run_url.rstrip("/"), "queue": queue_url.rstrip("/")}
        self._hosts: dict[str, Host] = {RUN_ORIGIN: "run", QUEUE_ORIGIN: "queue"}
        self._allowed = frozenset(_canonical(origin.rstrip("/")) for origin in allowed)

    def on_host(self, host: Host, path: str) -> Target:
        """A path of one of fal's hosts, as a host-style client sends it.

        Raises:
            BadTarget: It is no path a client of fal's would send.
        """
        _check_path(path)
        return Target(host, f"{self._bases[host]}{path}", path)

    def named(self, url: str) -> Target:
        """The URL a client of the server-proxy protocol names.

        Raises:
            BadTarget: It is not one of those allowed.
        """
        if len(url) > MAX_URL_CHARACTERS:
            raise BadTarget("the target URL is too long")
        parts = _URL.fullmatch(url)
        if parts is None:
            raise BadTarget("the target is not a plain https URL")
        origin, path = _canonical(parts["origin"]), parts["path"] or "/"
        _check_path(path)
        if (host := self._hosts.get(origin)) is not None:
            return Target(host, f"{self._bases[host]}{path}", path)
        if origin in self._allowed or f"{origin}{path}" in STORAGE_URLS:
            return Target("other", f"{origin}{path}", path)
        raise BadTarget("requests to this host are not allowed")

    def may_see_key(self, target: Target) -> bool:
        """Whether a configured key may go there: to fal's hosts, or what stands for them."""
        return target.host in ("run", "queue") or target.url in STORAGE_URLS


def _canonical(origin: str) -> str:
    """The origin without the port that goes without saying; of plain http that is another."""
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


def _check_path(path: str) -> None:
    if len(path) > MAX_URL_CHARACTERS:
        raise BadTarget("the target's path is too long")
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise BadTarget("the target's path holds what no path of fal's does")
    if _DOTS.search(parts["path"]):
        raise BadTarget("the target's path holds dot segments")
    if _ENCODED_STRUCTURE.search(parts["path"]) or _ENCODED_CONTROL.search(path):
        raise BadTarget("the target's path holds encoded characters that no path of fal's does")
