"""Streams over HTTP: what to call, with which key, and the bytes that come back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec

from recorder import redaction
from recorder.documents import Mode
from recorder.errors import BadTarget, MissingKey, UpstreamUnreachable

DEFAULT_FAL_URL: Final = "https://fal.run"
DEFAULT_QUEUE_URL: Final = "https://queue.fal.run"
_FAL_HOSTS: Final = frozenset({"fal.run", "queue.fal.run"})
_WORKFLOW = re.compile(r"workflows(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)+")
_KEY = re.compile(r"[!-~]+")
_CONNECT_TIMEOUT_S: Final = 10.0


class Target(redaction.Discreet, frozen=True):
    """An endpoint to call.

    Attributes:
        url: Its full address.
        workflow: The endpoint id, without `/stream`.
        key: The fal key to send; None for none.
        mode: Whether it is called for the stream of its events or plainly for its final answer.
    """

    url: str
    workflow: str
    key: str | None = None
    mode: Mode = "stream"


def resolve(
    target: str,
    *,
    fal_url: str = DEFAULT_FAL_URL,
    key: str | None = None,
    mode: Mode = "stream",
) -> Target:
    """Turns what a user named into an endpoint to call.

    The key goes to fal's own hosts over https and to the configured base, nowhere else.

    Args:
        target: A workflow id, `workflows/{owner}/{name}`, or the full URL of an endpoint.
        fal_url: The base that ids are appended to.
        key: The fal key where one is configured.
        mode: How it is called.

    Raises:
        BadTarget: It is neither, or the base is no URL.
        MissingKey: The endpoint is fal's own and no key is configured, or none that fits a header.
    """
    base = fal_url.rstrip("/")
    if target.lower().startswith(("http://", "https://")):
        url = target
    elif _WORKFLOW.fullmatch(target):
        url = f"{base}/{target}/stream" if mode == "stream" else f"{base}/{target}"
    else:
        raise BadTarget(
            f"{redaction.url(target)!r} is neither a workflow id (workflows/owner/name)"
            " nor an http(s) URL"
        )
    _check(base)
    _check(url)
    own = _is_fal(url)
    if own and not key:
        raise MissingKey("fal wants a key: set FAL_KEY (RECORDER_FAL_URL names another endpoint)")
    if not (own or _origin(url) == _origin(base)):
        key = None
    if key and not _KEY.fullmatch(key):
        raise MissingKey("FAL_KEY is no key: it holds spaces, line ends or letters beyond ASCII")
    return Target(url, _workflow_of(url, base), key or None, mode)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        callable_ = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        callable_ = False
    if not callable_:
        raise BadTarget(f"{redaction.url(url)!r} is not a URL one can call")
    if parts.username is not None or parts.password is not None:
        raise BadTarget("a target URL cannot carry a user or password")


def _is_fal(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.hostname in _FAL_HOSTS and parts.port in (None, 443)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _workflow_of(url: str, base: str) -> str:
    prefix = f"{urlsplit(base).path.rstrip('/')}/"
    path = urlsplit(url).path.removeprefix(prefix)
    return path.strip("/").removesuffix("/stream")


class Answer(msgspec.Struct, frozen=True):
    """What came back: status and headers at once, the body as it arrives."""

    status: int
    headers: list[tuple[str, str]]
    chunks: Iterator[bytes]

    @property
    def request_id(self) -> str | None:
        """`x-fal-request-id`, None where upstream gave none."""
        return next((value for name, value in self.headers if name == "x-fal-request-id"), None)


def request_headers(target: Target) -> dict[str, str]:
    """The headers a run is started with."""
    headers = {
        "accept": "text/event-stream" if target.mode == "stream" else "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    if target.key is not None:
        headers["authorization"] = f"Key {target.key}"
    return headers


@contextmanager
def post(client: httpx.Client, target: Target, body: bytes) -> Iterator[Answer]:
    """Starts a run: one POST, never repeated, redirects not followed.

    The chunks are the exact bytes of the body, one chunk a read. A cut connection raises
    `httpx.TransportError` out of them.

    Raises:
        UpstreamUnreachable: No answer with a status came. Whether the run was started is unknown.
    """
    request = client.build_request(
        "POST", target.url, content=body, headers=request_headers(target)
    )
    try:
        response = client.send(request, stream=True, follow_redirects=False)
    except httpx.TransportError as error:
        where = redaction.url(target.url)
        raise UpstreamUnreachable(f"{where} does not answer: {_reason(error)}") from None
    try:
        headers = [(name.lower(), value) for name, value in response.headers.multi_items()]
        yield Answer(response.status_code, headers, response.iter_raw())
    finally:
        response.close()


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def new_client() -> httpx.Client:
    """A client for workflow streams: a node may be silent for minutes, so reads never time out."""
    return httpx.Client(timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S))
