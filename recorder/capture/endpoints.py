"""What a request to fal is: a run, a question about a queued run, or something else.

By fal's protocol: `POST {run host}/{app}` runs and waits, `…/stream` streams; `POST {queue host}/{app}`
submits, and `{queue host}/{app}/requests/{id}[/response|/status[/stream]|/cancel]` asks about it: the result
has two addresses. What else is below `requests/{id}` begins no run either. The app of a workflow is
`workflows/{owner}/{name}`, or `workflows/execute` with the definition in the body.

fal's JavaScript client takes any method for all three, and puts the input of a GET into the query. Whether
fal runs anything by it shows in the answer, so such a request counts as one that costs money.
"""

from __future__ import annotations

import json
import re
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from recorder import redaction

Kind = Literal["stream", "call", "submit", "status", "status_stream", "result", "cancel", "other"]
Host = Literal["run", "queue", "other"]

_QUEUED: Final = re.compile(
    r"(?P<app>[^/]+/.+?)/requests/(?P<id>[^/]+)(?P<what>/.+)?"  # an app has two parts and more
)
_RUNNING: Final = frozenset({"POST", "GET", "PUT", "PATCH"})
_ASKED: Final[dict[tuple[str, str | None], Kind]] = {
    ("GET", None): "result",
    ("GET", "/response"): "result",
    ("GET", "/status"): "status",
    ("GET", "/status/stream"): "status_stream",
    ("PUT", "/cancel"): "cancel",
}


class Endpoint(msgspec.Struct, frozen=True):
    """What a request asks for.

    Attributes:
        kind: See the module.
        app: The endpoint id, such as `workflows/{owner}/{name}`, without `/stream`.
        request_id: Of the queued run it asks about.
    """

    kind: Kind
    app: str = ""
    request_id: str | None = None

    @property
    def is_workflow(self) -> bool:
        """Whether the app is a workflow; else it is a single model."""
        return self.app.startswith("workflows/")

    @property
    def costs_money(self) -> bool:
        """Whether the request starts a run, so that sending it twice would pay twice."""
        return self.kind in ("stream", "call", "submit")

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request only asks about a queued run, so that sending it again does no harm."""
        return self.kind in _ASKED.values()


_OTHER: Final = Endpoint("other")


def endpoint_of(method: str, path: str, host: Host) -> Endpoint:
    """What a request asks for. Total.

    Args:
        method: In capitals.
        path: As it was written, percent-encoded, with or without a query.
        host: Which of fal's hosts it goes to.
    """
    path = path.partition("?")[0].strip("/")
    if not path or host == "other":
        return _OTHER
    if host == "queue" and (queued := _QUEUED.fullmatch(path)) is not None:
        kind = _ASKED.get((method, queued["what"]), "other")
        return Endpoint(kind, unquote(queued["app"]), unquote(queued["id"]))
    if method not in _RUNNING:
        return _OTHER
    if host == "queue":
        return Endpoint("submit", unquote(path))
    app = path.removesuffix("/stream")
    return Endpoint("call" if app == path else "stream", unquote(app))


def sent_with(method: str, url: str, body: bytes) -> bytes:
    """The input a request carries: its body, or, for a GET without one, its query as a JSON object of texts.

    Without credentials, and without what is meant for fal itself and not for the app, such as
    `fal_webhook`. Total.
    """
    if body or method != "GET":
        return body
    try:
        pairs = parse_qsl(urlsplit(redaction.url(url)).query, keep_blank_values=True)
    except ValueError:
        return b""
    fields = {name: value for name, value in pairs if not name.startswith("fal_")}
    return json.dumps(fields).encode() if fields else b""
