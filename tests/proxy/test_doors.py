"""Never an open door: what the proxy refuses opens no socket, and what it sends on holds no secrets."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.proxy.addresses import AUTHORITIES, LITERALS, PATHS
from tests.proxy.asking import Fields, Reply, ask, asking
from tests.proxy.stage import CALL, SERVER_PROXY, WORKFLOW, Stage
from tests.proxy.test_money import problem_of
from tests.proxy.upstream import Upstream, fresh_id, sized

REFUSED = (400, "/problems/target-refused", True)
FINE = f"https://fal.run/{WORKFLOW}/stream"


class Connects:
    """The connections the server's thread has opened; it hears of every one in the process."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self._listening = False
        sys.addaudithook(self._hear)

    @contextmanager
    def listening(self) -> Iterator[list[Any]]:
        """Collects them for the time of the block."""
        self.opened = []
        self._listening = True
        try:
            yield self.opened
        finally:
            self._listening = False

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        in_server = event == "socket.connect" and threading.current_thread().name == "api"
        if self._listening and in_server:
            self.opened.append(args[1])


CONNECTS = Connects()


def named(stage: Stage, *targets: str, method: str = "POST") -> Reply:
    fields = [("x-fal-target-url", target) for target in targets]
    return ask(stage.server.url, SERVER_PROXY, method=method, fields=fields)


def wire(text: str) -> str:
    """A header value as any client could put it on the wire."""
    return text.encode().decode("latin-1")


def assert_refused_without_a_connection(stage: Stage, targets: list[str]) -> None:
    stage.upstream.answer(sized(None, b"{}"))
    head = stage.head()
    with CONNECTS.listening() as opened:
        answers = {target: named(stage, wire(target)).status for target in targets}
    # A control character in a header is refused by the server itself, before the proxy.
    wrong = {target: status for target, status in answers.items() if status != 400}
    assert (wrong, opened, stage.upstream.connections) == ({}, [], 0)
    assert stage.head() == head


def test_a_target_that_is_allowed_opens_one_connection(stage: Stage) -> None:
    """The count that is nought below does count."""
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    with CONNECTS.listening() as opened:
        assert named(stage, FINE).status == 200
    assert (len(opened), stage.upstream.connections) == (1, 1)


def test_no_hostile_authority_opens_a_connection(stage: Stage) -> None:
    targets = [f"{authority}/{WORKFLOW}" for authority in AUTHORITIES]
    assert_refused_without_a_connection(stage, targets)


def test_no_local_address_opens_a_connection(stage: Stage, upstream: Upstream) -> None:
    ports = ["", ":443", upstream.url.rpartition(":")[2], stage.server.url.rpartition(":")[2]]
    targets = [
        f"{scheme}://{literal}:{port.strip(':')}/{WORKFLOW}".replace(":/w", "/w")
        for scheme, literal, port in itertools.product(("https", "http"), LITERALS, ports)
    ]
    assert_refused_without_a_connection(stage, targets)


def test_no_hostile_path_opens_a_connection(stage: Stage) -> None:
    targets = [base + path for path in PATHS for base in ("https://fal.run", stage.upstream.url)]
    assert_refused_without_a_connection(stage, targets)


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [""],
        [" "],
        [FINE, FINE],
        [FINE, "https://evil.example/"],
        ["https://evil.example/", FINE],
        [f"{FINE}, {FINE}"],
        [f"{FINE},https://evil.example/"],
        [f"<{FINE}>"],
        [f'"{FINE}"'],
        ["*"],
        ["https://fal.run/" + "a" * 100_000],
    ],
    ids=lambda targets: ascii(targets)[:40],
)
def test_one_target_has_to_be_named(stage: Stage, targets: list[str]) -> None:
    stage.upstream.answer(sized(None, b"{}"))
    with CONNECTS.listening() as opened:
        assert problem_of(named(stage, *targets)) == REFUSED
    assert opened == []


def test_the_recorder_itself_is_no_target(stage: Stage) -> None:
    own = stage.server.url
    targets = [
        f"{own}/fal/{WORKFLOW}",
        f"{own}/api/v1/runs",
        f"{own}{SERVER_PROXY}",
        own.replace("http:", "https:"),
    ]
    assert_refused_without_a_connection(stage, targets)


# What has white space or is no ASCII cannot stand in a request line; a fragment is never sent.
WRITABLE = [
    path for path in PATHS if path.isascii() and path.isprintable() and not set(" #") & set(path)
]
TRICKS = [
    "/http://evil.example/x",
    "/https:/evil.example/..",
    "/queue/../workflows/o/n",
    "/queue//o/n",
]


@pytest.mark.parametrize("prefix", ["", "/queue", "/workflows/o/n"])
def test_no_hostile_path_of_a_host_style_client_opens_a_connection(
    stage: Stage, prefix: str
) -> None:
    stage.upstream.answer(sized(None, b"{}"))
    with CONNECTS.listening() as opened:
        answers = {path: stage.through(f"{prefix}{path}").status for path in WRITABLE + TRICKS}
    wrong = {path: status for path, status in answers.items() if status != 400}
    assert (wrong, opened, stage.upstream.connections) == ({}, [], 0)


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (f"/fal{CALL}", [("host", "evil.example")]),
        (f"/fal{CALL}", [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example")]),
        (f"/fal{CALL}", [("x-fal-target-url", "https://evil.example/")]),
        (f"http://evil.example/fal{CALL}", []),
        (f"/%66al{CALL}", []),
    ],
)
def test_a_host_style_client_cannot_name_another_host(
    stage: Stage, target: str, fields: Fields
) -> None:
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    with CONNECTS.listening() as opened, asking(stage.server.url, target, fields=fields) as client:
        status = client.read().status
    assert (status, len(opened)) in ((200, stage.upstream.connections), (400, 0))
    assert b"evil" not in b"".join(stage.upstream.requests)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("way_in", ["host-style", "server proxy"])
def test_a_redirect_is_handed_on_and_not_followed(stage: Stage, way_in: str, status: int) -> None:
    with Upstream() as elsewhere:
        elsewhere.answer(sized(None, b"{}"))
        location = f"location: {elsewhere.url}/secret"
        stage.upstream.answer(sized(fresh_id(), b"moved", location, status=f"{status} Moved"))
        with CONNECTS.listening() as opened:
            reply = stage.through() if way_in == "host-style" else named(stage, FINE)
        assert (reply.status, reply.body, len(opened)) == (status, b"moved", 1)
        assert reply.values("location") == [f"{elsewhere.url}/secret"]
        assert elsewhere.connections == 0


GIVEN: Fields = [
    ("Authorization", "Key id:secret"),
    ("Content-Type", "application/json"),
    ("Accept", "text/event-stream"),
    ("User-Agent", "fal-client/1.0.3 (python)"),
    ("X-Fal-Runner-Hint", "abc"),
    ("x-fal-request-timeout", "20"),
    ("X-App-Fal-Something", "1"),
    ("X-Custom", "2"),
    ("Idempotency-Key", "3"),
    ("Accept-Language", "de"),
    ("Content-Encoding", "identity"),
    ("X-Named", "for this hop"),
    ("x-fal-named", "for this hop"),
    ("Connection", "X-Named, keep-alive"),
    ("connection", "x-fal-named"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authorization", "Basic canary"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Trailer", "x-checksum"),
    ("Cookie", "session=canary"),
    ("Cookie", "other=canary"),
    ("Origin", ""),
    ("Referer", "http://recorder/"),
    ("Forwarded", "for=1.2.3.4"),
    ("X-Forwarded-For", "1.2.3.4"),
    ("X-Forwarded-Host", "recorder"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-CH-UA", "canary"),
    ("X-Recorder-Token", "canary"),
    ("X-Recorder-Anything", "canary"),
    ("Accept-Encoding", "gzip"),
    ("Via", "1.1 other"),
    ("Expect", "100-continue"),
]
ALWAYS_SENT = {
    "authorization": "Key id:secret",
    "content-type": "application/json",
    "accept": "text/event-stream",
    "user-agent": "fal-client/1.0.3 (python)",
    "content-encoding": "identity",
    "x-fal-runner-hint": "abc",
    "x-fal-request-timeout": "20",
    "x-app-fal-something": "1",
    "accept-encoding": "identity",
    "content-length": "2",
}


def sent(stage: Stage) -> dict[str, str]:
    """The headers of the only request upstream has seen, but for those that tell who asks whom."""
    [request] = stage.upstream.requests
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    fields = dict(line.lower().split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    assert fields.pop("host") == stage.upstream.url.removeprefix("http://")
    *before, own = fields.pop("via").split(", ")
    assert (before, own.startswith("1.1 fal-flight-recorder-")) == (["1.1 other"], True)
    return fields


def test_a_host_style_request_goes_on_without_what_is_not_fals_business(stage: Stage) -> None:
    given = [field for field in GIVEN if field[0] != "Origin"]
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    assert stage.through(fields=given).status == 200
    others = {"x-custom": "2", "idempotency-key": "3", "accept-language": "de"}
    expected = {name: value.lower() for name, value in (ALWAYS_SENT | others).items()}
    assert sent(stage) == expected


def test_a_server_proxy_request_goes_on_with_what_fal_needs_alone(stage: Stage) -> None:
    given = [*(field for field in GIVEN if field[0] != "Origin"), ("x-fal-target-url", FINE)]
    stage.upstream.answer(sized(fresh_id(), b"{}"))
    assert ask(stage.server.url, SERVER_PROXY, fields=given).status == 200
    assert sent(stage) == {name: value.lower() for name, value in ALWAYS_SENT.items()}


def test_what_belongs_to_upstreams_own_connection_is_not_handed_on(stage: Stage) -> None:
    stage.upstream.answer(
        sized(
            fresh_id(),
            b"{}",
            "set-cookie: session=canary",
            "strict-transport-security: max-age=1",
            'alt-svc: h3=":443"',
            "keep-alive: timeout=5",
            "proxy-authenticate: Basic",
            "upgrade: h2c",
            "connection: x-named",
            "x-named: for this hop",
            "server: fal",
            "x-custom: kept",
        )
    )
    reply = stage.through()
    assert [name for name, _ in reply.fields] == [
        "date",
        "x-fal-request-id",
        "content-type",
        "x-custom",
        "content-length",
    ]
