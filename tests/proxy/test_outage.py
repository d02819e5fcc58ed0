"""The recorder fails, hangs or is gone: whoever calls fal through it sees what they always saw."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.clock import SystemClock
from recorder.errors import LogUnavailable
from recorder.recording import Recording
from recorder.writer import LogWriter
from tests.builders import completion, error, output, submit
from tests.logs import WatchedLog
from tests.proxy.asking import Reply, asking
from tests.proxy.stage import CALL, STREAM, WORKFLOW, Stage, settings_for, staged
from tests.proxy.upstream import (
    LAST_CHUNK,
    Step,
    Upstream,
    chunk,
    chunked_head,
    fresh_id,
    sized,
)
from tests.raw import RawDatabase
from tests.trust.outage.pausing import FlakySpool
from tests.trust.outage.test_fail_open import FailPoints, raises, walk

PIECES = [submit("a"), b": ping\n\n" + completion("a")[:9], completion("a")[9:], output()]

Traffic = tuple[str, str, tuple[Step, ...]]
"""Method, path, and what upstream does."""


def streaming(*pieces: bytes, whole: bool = True, status: str = "200 OK") -> tuple[Step, ...]:
    end = (LAST_CHUNK,) if whole else ()
    return (chunked_head(fresh_id(), status=status), *map(chunk, pieces), *end)


def submitted() -> bytes:
    reply = '{"request_id": "%s", "status_url": "https://elsewhere.example/"}'
    return (reply % fresh_id()).encode()


def queued(what: str = "") -> str:
    return f"/queue/{WORKFLOW}/requests/{fresh_id()}{what}"


TRAFFIC: dict[str, Callable[[], Traffic]] = {
    "a stream": lambda: ("POST", STREAM, streaming(*PIECES)),
    "a failing stream": lambda: ("POST", STREAM, streaming(submit("a"), error("a"))),
    "a cut": lambda: ("POST", STREAM, streaming(*PIECES[:3], whole=False)),
    "a refusal": lambda: ("POST", STREAM, streaming(b'{"detail": []}', status="422 No")),
    "a plain call": lambda: ("POST", CALL, (sized(fresh_id(), b'{"images": []}'),)),
    "a submit": lambda: ("POST", f"/queue/{WORKFLOW}", (sized(fresh_id(), submitted()),)),
    "a status": lambda: (
        "GET",
        queued("/status"),
        (sized(fresh_id(), b'{"status": "COMPLETED"}'),),
    ),
    "a status stream": lambda: (
        "GET",
        queued("/status/stream"),
        streaming(b'data: {"status": 1}\n\n'),
    ),
    "a result": lambda: ("GET", queued(), (sized(fresh_id(), b'{"images": []}'),)),
    "a failed result": lambda: ("GET", queued(), (sized(fresh_id(), b"{}", status="422 No"),)),
}


def seen(reply: Reply) -> tuple[Any, ...]:
    fields = [each for each in reply.fields if each[0] not in ("connection", "date")]
    return reply.status, fields, reply.body, reply.whole


def views(stage: Stage, name: str) -> tuple[Any, Any]:
    """What a client sees without the proxy, and with it."""
    method, path, steps = TRAFFIC[name]()
    body = b"{}" if method == "POST" else b""
    stage.upstream.answer(*steps)
    direct, through = stage.both(path, method=method, body=body)
    stage.let_it_notice()  # the recorder hears of the end after the client
    return seen(direct), seen(through)


def assert_nothing_changes(stage: Stage) -> None:
    told = {name: views(stage, name) for name in TRAFFIC}
    assert {name: through for name, (_, through) in told.items()} == {
        name: direct for name, (direct, _) in told.items()
    }


class FailingRecorder:
    """Gives recordings that fail at a call of theirs, of their writer's, or of their clock's.

    Attributes:
        points: Counts the calls.
    """

    def __init__(self, rec: Recorder) -> None:
        self.points = FailPoints(0, lambda: None)
        self._writer = rec.writer
        rec.new_recording = self._new_recording  # type: ignore[method-assign]

    def _new_recording(self) -> Any:
        self.points.count()
        writer = self.points.before(self._writer)
        clock = self.points.before(SystemClock())
        return self.points.before(Recording(writer, clock=clock))


@pytest.fixture(scope="module")
def failing(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, FailingRecorder]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('failing') / 'log.db'}"
    settings = settings_for(url, upstream.url)
    with recorder.open(url, settings=settings) as rec:
        failing = FailingRecorder(rec)
        with ApiServer(rec, grace_s=0) as server:
            yield Stage(upstream, rec, server), failing


CALLS = {"a submit": 10, "a status": 10, "a status stream": 10}
"""How many calls are at least made of the recorder: with fewer the walk would not be one."""


@pytest.mark.parametrize("name", TRAFFIC)
def test_a_client_sees_the_same_wherever_the_recorder_fails(
    failing: tuple[Stage, FailingRecorder], name: str
) -> None:
    stage, failing_recorder = failing

    def attempt(points: FailPoints) -> None:
        failing_recorder.points = points
        direct, through = views(stage, name)
        assert through == direct

    assert walk(attempt, raises(RuntimeError("a bug"))) >= CALLS.get(name, 15)


class TestEverythingIsSeenAsEver:
    """And what can be kept is in the log once it is back."""

    def test_while_the_database_is_locked(self, upstream: Upstream, sqlite_url: str) -> None:
        request_id = fresh_id()
        with staged(sqlite_url, upstream) as stage:
            with locked(sqlite_url):
                assert_nothing_changes(stage)
                upstream.answer(chunked_head(request_id), *map(chunk, PIECES), LAST_CHUNK)
                assert stage.through().body == b"".join(PIECES)
            assert stage.body(request_id) == b"".join(PIECES)

    def test_when_the_database_is_locked_in_the_middle_of_a_stream(
        self, upstream: Upstream, sqlite_url: str
    ) -> None:
        request_id, go = fresh_id(), threading.Event()
        upstream.answer(
            chunked_head(request_id), chunk(PIECES[0]), go, *map(chunk, PIECES[1:]), LAST_CHUNK
        )
        with staged(sqlite_url, upstream) as stage, asking(stage.url, STREAM) as client:
            client.read_head()
            assert client.read_chunk() == PIECES[0]
            with locked(sqlite_url):
                go.set()
                reply = client.read_rest()
            assert (reply.body, reply.whole) == (b"".join(PIECES[1:]), True)
            assert stage.body(request_id) == b"".join(PIECES)

    def test_while_appends_hang_and_the_spool_is_full(
        self, upstream: Upstream, sqlite_url: str, tmp_path: Path
    ) -> None:
        with broken_writer(upstream, sqlite_url, tmp_path) as (stage, log, spool):
            log.hold()
            spool.full = True
            assert_nothing_changes(stage)
            log.release()

    def test_while_log_and_spool_refuse_everything(
        self, upstream: Upstream, sqlite_url: str, tmp_path: Path
    ) -> None:
        with broken_writer(upstream, sqlite_url, tmp_path) as (stage, log, spool):
            log.away = LogUnavailable("database or disk is full")
            spool.full = True
            assert_nothing_changes(stage)
            log.away = None

    def test_while_the_log_fails_in_ways_it_never_should(
        self, upstream: Upstream, sqlite_url: str, tmp_path: Path
    ) -> None:
        with broken_writer(upstream, sqlite_url, tmp_path) as (stage, log, _):
            log.away = RuntimeError("a bug")
            assert_nothing_changes(stage)

    def test_once_the_writer_is_closed(self, upstream: Upstream, sqlite_url: str) -> None:
        request_id, closed = fresh_id(), threading.Event()
        upstream.answer(
            chunked_head(request_id), chunk(PIECES[0]), closed, *map(chunk, PIECES[1:]), LAST_CHUNK
        )
        with staged(sqlite_url, upstream) as stage:
            with asking(stage.url, STREAM) as client:
                client.read_head()
                assert client.read_chunk() == PIECES[0]
                stage.rec.writer.close()
                closed.set()
                reply = client.read_rest()
            assert (reply.body, reply.whole) == (b"".join(PIECES[1:]), True)
            assert_nothing_changes(stage)

    def test_once_the_whole_recorder_is_closed(self, upstream: Upstream, sqlite_url: str) -> None:
        with staged(sqlite_url, upstream) as stage:
            stage.rec.close()
            assert_nothing_changes(stage)

    def test_where_no_thread_can_be_had(
        self, upstream: Upstream, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The proxy needs none for a request; the recorder starts one with the first recording."""
        with staged(sqlite_url, upstream) as stage:
            monkeypatch.setattr(stage.rec, "_start_thread", raises_no_thread)
            assert_nothing_changes(stage)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Nobody else writes to the database meanwhile."""
    raw = RawDatabase(url)
    while not _begin(raw):
        pass
    yield
    raw.execute("ROLLBACK")
    raw.close()


def _begin(raw: RawDatabase) -> bool:
    try:
        raw.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:  # somebody is writing at this moment
        return False
    return True


def raises_no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


@contextmanager
def broken_writer(
    upstream: Upstream, url: str, folder: Path, **proxy: Any
) -> Iterator[tuple[Stage, WatchedLog, FlakySpool]]:
    """A stage whose writer appends to a log and a spool that can be made to fail."""
    settings = settings_for(url, upstream.url, **proxy)
    with recorder.open(url, settings=settings) as rec:
        rec.writer.close()
        log, spool = WatchedLog(rec.log), FlakySpool(folder / "spool")
        rec.writer = LogWriter(log, spool=spool)
        with ApiServer(rec, grace_s=0) as server:
            yield Stage(upstream, rec, server), log, spool
