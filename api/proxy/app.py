"""The proxy as an ASGI app: what came in, who may ask, and where it goes."""

from __future__ import annotations

import hmac
import uuid
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.errors import (
    BodyTooSlow,
    ClientGone,
    ForwardingLoop,
    NotAuthenticated,
    NothingRecorded,
    OriginRefused,
    TargetRefused,
    UpgradeRefused,
)
from api.hosts import Hosts
from api.proxy import cors, headers
from api.proxy.client import read_body
from api.proxy.forwarding import Forwarding, Passage
from api.proxy.modes import Wish, read_wish
from api.proxy.queue_urls import Rewriting
from api.proxy.replaying import Repertoire
from api.proxy.targets import Target, Targets
from api.proxy.upstream import Upstream, UpstreamRequest
from api.stage import Stage
from recorder.bootstrap import Recorder
from recorder.capture import Capture, Endpoint, Host, endpoint_of, sent_with
from recorder.errors import BadTarget, RecorderError
from recorder.store.matches import Asked

HOST_STYLE: Final = "/fal/"
QUEUE_STYLE: Final = "/fal/queue/"
SERVER_PROXY: Final = "/api/fal/proxy"
REPLAY: Final = "/replay/"

_TOKEN: Final = b"x-recorder-token"
_REWRITTEN: Final = frozenset({"submit", "status"})


def is_for_proxy(path: str) -> bool:
    """Whether a path, as it was written, is the proxy's."""
    return path.startswith((HOST_STYLE, REPLAY)) or path in (SERVER_PROXY, f"{SERVER_PROXY}/")


class Proxy:
    """Passes requests on to fal and records them.

    Use it between `start` and `close`, on one event loop.

    Args:
        rec: Whose runs are played again, and with whose settings.
        capture: Records what passes.
        stage: Plays runs again.
        hosts: The names under which the recorder's key may be spent, and whose pages are our own.

    Attributes:
        passing: How many requests are on their way through, answers included.
    """

    def __init__(self, rec: Recorder, capture: Capture, stage: Stage, hosts: Hosts) -> None:
        settings = rec.settings
        self._hosts = hosts
        self._repertoire = Repertoire(rec, stage)
        self._settings = settings.proxy
        self._key = settings.key
        self._queue_url = settings.queue
        self._targets = Targets(settings.fal_url, settings.queue, settings.proxy.allow)
        self._via = f"1.1 fal-flight-recorder-{uuid.uuid4().hex[:12]}".encode()
        self._capture = capture
        self.passing = 0
        self._forwarding: Forwarding | None = None
        self._upstream: Upstream | None = None

    @property
    def misses(self) -> list[Asked]:
        """What was to be replayed lately and had not been recorded."""
        return self._repertoire.misses

    async def start(self) -> None:
        """Makes the client for upstream."""
        self._upstream = Upstream(idle_timeout_s=self._settings.idle_timeout_s)
        self._forwarding = Forwarding(self._upstream, self._capture, self._settings.on_client_gone)

    async def close(self) -> None:
        """Closes connections."""
        if self._upstream is not None:
            await self._upstream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        self.passing += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            self.passing -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = cors.allowed_origin(scope, self._settings.origins, self._hosts)
        try:
            if origin is cors.REFUSED:
                raise OriginRefused
            if cors.is_preflight(scope):
                await cors.answer_preflight(scope, origin)(scope, receive, send)
                return
            if scope["path"].startswith(REPLAY):
                answer = await self._replay_named(scope, receive)
            else:
                answer = await self._take(scope, receive)
            await answer(scope, receive, _adding(send, cors.headers_for(origin)))
        except ClientGone:
            return
        except RecorderError as error:
            sending = _adding(send, cors.headers_for(origin))
            answer = problems.answer(error, scope)
            if isinstance(error, BodyTooSlow):  # more of it may come for ever
                answer.raw_headers.append((b"connection", b"close"))
            await answer(scope, receive, sending)

    async def _take(self, scope: Scope, receive: Receive) -> ASGIApp:
        """What answers a request: upstream, or a recorded run."""
        given: headers.Pairs = scope["headers"]
        server_proxy = not scope["path"].startswith(HOST_STYLE)
        target = self._target(scope, given, server_proxy=server_proxy)
        if any(self._via in value for name, value in given if name == b"via"):
            raise ForwardingLoop
        if headers.loses_body(given):
            raise UpgradeRefused
        wish = read_wish(given, self._settings)
        endpoint = endpoint_of(scope["method"], target.path, target.host)
        rewriting = None if server_proxy else self._rewriting(scope, endpoint, QUEUE_STYLE)
        sent = headers.to_upstream(given, via=self._via, server_proxy=server_proxy)
        if wish.mode != "replay":
            self._inject_key(sent, scope, target)
        body = await self._read_body(receive)
        if wish.mode != "record":
            given_input = sent_with(scope["method"], target.url, body)
            replayed = await self._replayed(wish, endpoint, given_input, rewriting)
            if replayed is not None:
                return replayed
        assert self._forwarding is not None, "the proxy has not been started"
        request = UpstreamRequest(scope["method"], target.url, sent, body)
        return self._forwarding.carrying(Passage(endpoint, request, rewriting, wish.parent))

    async def _read_body(self, receive: Receive) -> bytes:
        return await read_body(
            receive,
            limit_bytes=self._settings.max_body_bytes,
            timeout_s=self._settings.body_timeout_s,
        )

    async def _replayed(
        self, wish: Wish, endpoint: Endpoint, body: bytes, rewriting: Rewriting | None
    ) -> ASGIApp | None:
        """A recorded answer; None where upstream is to be called."""
        if endpoint.kind == "other":
            if wish.mode == "auto":
                return None
            raise NothingRecorded("in replay mode only runs are answered")
        if endpoint.costs_money:
            look = self._repertoire.find if wish.mode == "auto" else self._repertoire.must_find
            request_id = await to_thread.run_sync(look, wish.asked(endpoint, body))
            if request_id is None:
                return None
        else:
            request_id = endpoint.request_id or ""
            if wish.mode == "auto":
                return None  # whoever was answered from the log asks nothing more
        return await to_thread.run_sync(
            self._repertoire.answer, request_id, endpoint, wish.pace, rewriting
        )

    async def _replay_named(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The run a host-style client names in its base address."""
        wish = read_wish(scope["headers"], self._settings)
        await self._read_body(receive)
        request_id, host, path = _replayed_path(scope)
        endpoint = endpoint_of(scope["method"], path, host)
        base = f"{REPLAY}{quote(request_id, safe='')}/queue"
        rewriting = self._rewriting(scope, endpoint, base)
        return await to_thread.run_sync(
            self._repertoire.answer, request_id, endpoint, wish.pace, rewriting
        )

    def _target(self, scope: Scope, given: headers.Pairs, *, server_proxy: bool) -> Target:
        try:
            if server_proxy:
                return self._targets.named(_named_target(given))
            host, path = _host_and_path(scope)
            return self._targets.on_host(host, path)
        except BadTarget as error:
            raise TargetRefused(str(error)) from None

    def _inject_key(self, sent: headers.Pairs, scope: Scope, target: Target) -> None:
        """Adds the configured key where the client has none and may use ours.

        Raises:
            NotAuthenticated: It may not.
            HostRefused: No token is asked for, and it calls us by a name that is not ours.
        """
        given: headers.Pairs = scope["headers"]
        if not self._settings.inject_key or _has_own_key(given, target):
            return
        token = self._settings.token
        if token is not None:
            shown = headers.get(given, _TOKEN) or b""
            if not hmac.compare_digest(shown, token.get_secret_value().encode()):
                raise NotAuthenticated
        if self._key is not None and self._targets.may_see_key(target):
            if token is None:
                self._hosts.check(scope)
            sent.append((b"authorization", f"Key {self._key}".encode()))

    def _rewriting(self, scope: Scope, endpoint: Endpoint, path: str) -> Rewriting | None:
        if endpoint.kind not in _REWRITTEN:
            return None
        base = self._settings.public_url or _own_url(scope)
        return Rewriting(self._queue_url, f"{base.rstrip('/')}{path}")


def _has_own_key(given: headers.Pairs, target: Target) -> bool:
    """Whether a client brings a key of its own, in a header or in the query, whatever that is worth."""
    if headers.get(given, b"authorization") is not None:
        return True
    query = target.path.partition("?")[2]
    return any(name == "fal_jwt_token" for name, _ in parse_qsl(query, keep_blank_values=True))


def _named_target(given: headers.Pairs) -> str:
    values = [value for name, value in given if name == headers.TARGET_URL]
    if len(values) != 1:
        raise BadTarget("name the target in one x-fal-target-url header")
    return values[0].decode("latin-1")


def _host_and_path(scope: Scope) -> tuple[Host, str]:
    """Which of fal's hosts a host-style path means, and the path there, as written."""
    written: bytes = scope.get("raw_path") or scope["path"].encode()
    path = written.partition(b"?")[0].decode("latin-1")
    root = scope.get("root_path", "")
    path = path.removeprefix(root)
    query = scope["query_string"].decode("latin-1")
    asked = f"?{query}" if query else ""
    if path.startswith(QUEUE_STYLE):
        return "queue", f"/{path.removeprefix(QUEUE_STYLE)}{asked}"
    path = f"/{path.removeprefix(HOST_STYLE)}"
    # Only the queue has requests to ask about, so a client that knows one base only is understood.
    is_about_queued = "/requests/" in path and scope["method"] in ("GET", "PUT")
    return ("queue" if is_about_queued else "run"), f"{path}{asked}"


def _replayed_path(scope: Scope) -> tuple[str, Host, str]:
    """The run, which of fal's hosts, and the path there."""
    written = problems.instance_of(scope).removeprefix(scope.get("root_path", ""))
    run, _, rest = written.removeprefix(REPLAY).partition("/")
    on_queue = rest.startswith("queue/")
    path = f"/{rest.removeprefix('queue/')}"
    return unquote(run), "queue" if on_queue or "/requests/" in path else "run", path


def _adding(send: Send, extra: headers.Pairs) -> Send:
    """Adds headers to whatever answer is sent."""
    if not extra:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


def _own_url(scope: Scope) -> str:
    """Where the client finds us. Whoever ends TLS before us says so; the answer goes to them alone."""
    asked = Headers(scope=scope)
    told = asked.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    scheme = told if told in ("http", "https") else scope["scheme"]
    return f"{scheme}://{asked.get('host', '')}{scope.get('root_path', '')}"
