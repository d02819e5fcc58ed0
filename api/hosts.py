"""The names this recorder goes by, against pages that have their own name lead here.

A page may let the name it was loaded from point to 127.0.0.1 afterwards ("DNS rebinding"): to the browser
its requests then are of the same origin, and only their `Host` tells. Addresses, and names without a dot,
are none that somebody outside could have point here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.errors import HostRefused
from recorder.settings import Settings

ANY: Final = "*"
_PROBES: Final = frozenset({"/healthz", "/readyz"})


class Hosts:
    """The names.

    Args:
        named: By the user; `*` for any.
        others: Further ones that are known, such as the host of a public address.

    Attributes:
        are_named: Whether the user has named any: then nothing is answered under another.
    """

    def __init__(self, named: Iterable[str], others: Iterable[str] = ()) -> None:
        own = frozenset(map(_bare, named))
        self.are_named = bool(own)
        self._known = own | frozenset(map(_bare, others))

    def knows(self, scope: Scope) -> bool:
        """Whether a request calls us by a name of ours; HTTP/1.0 may leave it out."""
        return all(
            self._is_known(_bare(value.decode("latin-1")))
            for name, value in scope["headers"]
            if name == b"host"
        )

    def check(self, scope: Scope) -> None:
        """Raises where it does not.

        Raises:
            HostRefused: It calls us by another.
        """
        if not self.knows(scope):
            raise HostRefused

    def _is_known(self, name: str) -> bool:
        return name in self._known or ANY in self._known or _is_out_of_reach(name)


def hosts_of(settings: Settings, bound: str | None) -> Hosts:
    """The names by the settings, and by the address that is listened on."""
    public = urlsplit(settings.proxy.public_url or "").netloc
    return Hosts(settings.hosts, [name for name in (public, bound) if name])


def check_host(request: Request) -> None:
    """For routes that spend what is the recorder's own.

    Raises:
        HostRefused: The request calls us by a name that is not ours.
    """
    hosts: Hosts = request.app.state.hosts
    hosts.check(request.scope)


class NamedHosts:
    """Where the user has named hosts, answers under no other name; probes excepted."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        guarded = scope["type"] == "http" and self._hosts.are_named and scope["path"] not in _PROBES
        if guarded and not self._hosts.knows(scope):
            await problems.answer(HostRefused(), scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _bare(host: str) -> str:
    """A host without its port, as names are compared."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or not (port == "" or port.isdecimal()):
        name = host.strip().lower()
    return name.strip("[]").removesuffix(".")


def _is_out_of_reach(name: str) -> bool:
    return "." not in name.removesuffix(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
