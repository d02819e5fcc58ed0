"""Credentials reach neither log nor spool nor what the program prints, whatever happens to a request."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from aiohttp import ClientSession
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, Span, Tracer, TracerProvider
from opentelemetry.util.types import Attributes
from rich.console import Console
from rich.pretty import Pretty

from api.proxy.forwarding import Passage
from api.proxy.targets import Target
from api.proxy.upstream import UpstreamRequest
from recorder.capture import Call, Endpoint
from recorder.errors import LogUnavailable
from tests.builders import completion, error, output, submit
from tests.proxy.asking import Fields, Reply, ask
from tests.proxy.silences import SILENCES
from tests.proxy.stage import CALL, SERVER_PROXY, STREAM, WORKFLOW, Stage
from tests.proxy.test_money import new_workflow, problem_of
from tests.proxy.test_outage import broken_writer
from tests.proxy.upstream import (
    LAST_CHUNK,
    WAIT_S,
    Step,
    Upstream,
    chunk,
    chunked_head,
    fresh_id,
    sized,
)

CANARY = "canary-in-the-mine"
KEY, TOKEN = f"own:{CANARY}", f"token-{CANARY}"
SETTINGS = {"fal_key": KEY, "inject_key": True, "token": TOKEN}
THEIRS: Fields = [
    ("Authorization", f"Key their:{CANARY}"),
    ("Cookie", f"session={CANARY}"),
    ("Proxy-Authorization", f"Basic {CANARY}"),
    ("X-Recorder-Token", TOKEN),
    ("X-Api-Key", CANARY),
    ("x-fal-token", CANARY),
    ("x-custom", CANARY),
]
SECRET = f"fal_jwt_token={CANARY}&fal_webhook=https://user:{CANARY}@hooks.test/?token={CANARY}"
SET_COOKIE = (f"set-cookie: session={CANARY}", f"x-fal-session-token: {CANARY}")


def stream(*pieces: bytes, end: bytes = LAST_CHUNK) -> tuple[Step, ...]:
    return (chunked_head(fresh_id(), *SET_COOKIE), *map(chunk, pieces), end)


def answers() -> dict[str, tuple[Step, ...]]:
    """What upstream does with the requests, among it all that ends them badly."""
    return {
        "whole": stream(submit("a"), completion("a"), output()),
        "failing": stream(submit("a"), error("a")),
        "cut": stream(submit("a"), end=b""),
        "plain": (sized(fresh_id(), b"{}", *SET_COOKIE),),
        "refused": (sized(fresh_id(), b"{}", *SET_COOKIE, status="401 No"),),
        **{name: SILENCES[name] for name in ("closes", "resets", "status 999", "noughts")},
    }


def ask_everything(url: str, upstream: Upstream) -> list[Reply]:
    """Sends credentials in every place to every way in, and has all of it end in every way."""
    replies = []
    for steps in answers().values():
        for path in (STREAM, CALL, f"/queue{CALL}"):
            upstream.answer(*steps)
            replies.append(ask(f"{url}/fal", f"{path}?{SECRET}", fields=THEIRS))
        target = [("x-fal-target-url", f"https://fal.run{STREAM}?{SECRET}")]
        replies.append(ask(url, SERVER_PROXY, fields=[*THEIRS, *target]))
    refused = (f"https://user:{CANARY}@fal.run/", f"https://fal.run/?{SECRET}#", CANARY)
    replies += [
        ask(url, SERVER_PROXY, fields=[*THEIRS, ("x-fal-target-url", each)]) for each in refused
    ]
    page = [*THEIRS, ("Origin", f"https://{CANARY}.test")]
    replies.append(ask(f"{url}/fal", f"{STREAM}?{SECRET}", fields=page))
    replies.append(ask(f"{url}/fal", f"{STREAM}?{SECRET}", fields=[("x-recorder-token", CANARY)]))
    return replies


def contents(folder: Path) -> bytes:
    """All files below a folder, one after the other; nobody may have them open."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@contextmanager
def serving(folder: Path, upstream: Upstream) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The recorder's server in a process of its own; what it prints is in `out` in the folder."""
    environment = {
        **os.environ,
        "FAL_KEY": KEY,
        "RECORDER_PROXY_TOKEN": TOKEN,
        "RECORDER_DATABASE_URL": f"sqlite:///{folder}/log.db",
        "RECORDER_SPOOL": str(folder / "spool"),
        "RECORDER_FAL_URL": upstream.url,
        "RECORDER_PROXY_INJECT_KEY": "true",
        "PYTHONASYNCIODEBUG": "1",
    }
    command = [sys.executable, "-m", "cli.main", "serve", "--port", "0"]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield process, _address(folder / "out", process)
    finally:
        process.kill()
        process.wait(WAIT_S)


def _address(out: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        if found := re.search(rb"^http://\S+", out.read_bytes(), re.MULTILINE):
            return found[0].decode()
    raise AssertionError(out.read_text())


def test_a_served_process_keeps_and_prints_none(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream) as (process, url):
        replies = ask_everything(url, upstream)
        alive = contents(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    everything = contents(tmp_path)
    assert {reply.status for reply in replies} == {200, 400, 401, 403, 500}
    assert WORKFLOW.encode() in everything
    assert b"fal_jwt_token=[redacted]" in everything
    assert (CANARY.encode() in alive, CANARY.encode() in everything) == (False, False)


def test_what_waits_in_the_spool_holds_none(
    upstream: Upstream, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broken_writer(upstream, sqlite_url, tmp_path, **SETTINGS) as (stage, log, _):
        log.away = LogUnavailable("database is locked")
        ask_everything(stage.server.url, upstream)
        stage.let_it_notice()
        assert not stage.rec.writer.close(timeout_s=0)
    spooled = contents(tmp_path / "spool")
    assert WORKFLOW.encode() in spooled
    assert CANARY.encode() not in spooled
    assert CANARY not in caplog.text


@pytest.mark.parametrize("path", [STREAM, CALL, f"/queue{CALL}"])
def test_an_exception_that_quotes_them_is_not_quoted(
    stage: Stage, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of a library's, whose message holds what it was given."""

    async def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"{args} {kwargs}")

    workflow = new_workflow()
    monkeypatch.setattr(ClientSession, "request", fail)
    reply = stage.through(f"{path.replace(WORKFLOW, workflow)}?{SECRET}", fields=THEIRS)
    assert problem_of(reply) == (500, "/problems/upstream-silent", True)
    assert (CANARY in caplog.text, CANARY.encode() in reply.body) == (False, False)
    assert stage.run_of(workflow).close_reason == "error"


ADDRESS = f"https://user:{CANARY}@fal.run/x?{SECRET}"
REQUEST = UpstreamRequest("POST", ADDRESS, [(b"authorization", CANARY.encode())], CANARY.encode())


@pytest.mark.parametrize(
    "value",
    [
        Call("POST", ADDRESS, Endpoint("call", "x"), [("authorization", CANARY)], b"x"),
        REQUEST,
        Passage(Endpoint("call", "x"), REQUEST),
        Target("run", ADDRESS, "/x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_traceback_with_values_shows_none(value: object) -> None:
    told = StringIO()
    Console(file=told, width=1_000).print(Pretty(value))
    assert CANARY not in repr(value) + told.getvalue()
    assert "fal_jwt_token=[redacted]" in told.getvalue()


def test_addresses_reach_no_access_log_though_another_server_has_turned_it_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    caplog.set_level(logging.INFO, "uvicorn.access")
    stage.through(f"{CALL.replace(WORKFLOW, new_workflow())}?{SECRET}", fields=THEIRS)
    assert CANARY not in caplog.text


class NotingTracers(TracerProvider):
    """Somebody's telemetry: notes what it is told of each request."""

    def __init__(self) -> None:
        self.told: list[Attributes] = []

    def get_tracer(self, *_: object, **__: object) -> Tracer:
        return NotingTracer(self.told)


class NotingTracer(NoOpTracer):
    def __init__(self, told: list[Attributes]) -> None:
        self._told = told

    def start_span(self, *_: object, attributes: Attributes = None, **__: object) -> Span:
        self._told.append(attributes)
        return INVALID_SPAN


def test_addresses_reach_no_traces_though_somebody_has_set_up_telemetry(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracers = NotingTracers()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    stage.upstream.answer(*stream(output()))
    assert stage.through(f"{STREAM}?{SECRET}").status == 200
    assert ask(stage.server.url, "/healthz?seen=1", method="GET", body=b"").status == 200
    queries = [told["url.query"] for told in tracers.told if told and "url.query" in told]
    assert (queries, CANARY in repr(tracers.told)) == (["seen=1"], False)
