"""fal's client recorded into a service: while it is there, away, back; and when the program is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fal_client
import pytest

import recorder
from api.server import ApiServer
from recorder.audit import verify
from recorder.bootstrap import Recorder
from recorder.events import Closed, Opened
from recorder.instrumentation import instrument
from recorder.recording import body_part
from recorder.settings import Settings
from recorder.store.log import run_events
from recorder.store.spool import segments
from tests.builders import completion, output, submit
from tests.core.raw_server import Step, chunked, head, serving
from tests.logs import WAIT_S
from tests.sdk.calls import INPUT, STREAMS, TINY, Stream, only_run, payloads
from tests.sdk.conftest import call_fal_at

FRAMES = [submit("a"), completion("a"), output()]
STREAM = head(
    "200 OK", "X-Fal-Request-Id: run-1", "Transfer-Encoding: chunked", "Connection: close"
)


class Service:
    """A recorder service that can go away and come back at the same address.

    Attributes:
        rec: Whose log it serves.
        url: Its address.
    """

    def __init__(self, rec: Recorder) -> None:
        self.rec = rec
        self._server: ApiServer | None = ApiServer(rec)
        self._server.__enter__()
        self.url = self._server.url

    def go_away(self) -> None:
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None

    def come_back(self) -> None:
        self._server = ApiServer(self.rec, port=int(self.url.rpartition(":")[2]))
        self._server.__enter__()


@contextmanager
def running(rec: Recorder) -> Iterator[Service]:
    service = Service(rec)
    try:
        yield service
    finally:
        service.go_away()


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Service]:
    """A service whose lease time is short."""
    settings = Settings(database_url=sqlite_url, lease_s=1.0)
    with recorder.open(settings=settings) as rec, running(rec) as service:
        yield service


@pytest.mark.parametrize("stream", STREAMS)
def test_what_a_caller_saw_is_in_the_service_s_log(
    service: Service, settings: Settings, stream: Stream
) -> None:
    with instrument(service.url, settings=settings):
        seen, _ = stream(INPUT)
        fal_client.subscribe(TINY, INPUT)
    queued, streamed = service.rec.runs().runs
    assert (queued.mode, queued.status) == ("queue", "completed")
    assert (streamed.source, streamed.status) == ("sdk", "completed")
    assert payloads(service.rec, streamed.request_id) == seen


def test_a_definition_a_run_brings_along_is_kept_by_the_service(
    service: Service, settings: Settings
) -> None:
    nodes = {"a": {"type": "run", "app": "acme/a", "depends": [], "input": {}}}
    with instrument(service.url, settings=settings):
        list(fal_client.stream("workflows/execute", {"input": {}, "workflow": nodes}))
    run = service.rec.run(only_run(service.rec))
    assert run.definition is not None
    assert service.rec.definitions.wait(WAIT_S)
    assert b"acme/a" in service.rec.definition(run.definition)


def test_while_the_service_is_away_runs_wait_in_the_spool_and_none_is_lost_or_doubled(
    service: Service, settings: Settings
) -> None:
    seen = []
    with instrument(service.url, settings=settings) as instrumentation:
        seen += [list(fal_client.stream(TINY, INPUT))]
        assert instrumentation.flush(WAIT_S)
        service.go_away()
        seen += [list(fal_client.stream(TINY, INPUT)) for _ in range(3)]
        assert not instrumentation.flush(0)
        service.come_back()
        seen += [list(fal_client.stream(TINY, INPUT))]
        assert instrumentation.flush(WAIT_S)
    rec = service.rec
    runs = [run.request_id for run in reversed(rec.runs().runs)]
    assert [payloads(rec, run) for run in runs] == seen
    assert {run.status for run in rec.runs().runs} == {"completed"}
    assert verify(rec.log).intact


def test_a_service_that_goes_away_in_the_middle_of_a_stream_is_not_noticed(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, back = threading.Event(), threading.Event()
    answer: list[Step] = [STREAM + chunked(FRAMES[0], complete=False)]
    answer += [away, chunked(FRAMES[1], complete=False), back, chunked(FRAMES[2])]
    with (
        serving(answer) as fal,
        instrument(service.url, settings=settings) as instrumentation,
    ):
        call_fal_at(fal.url, monkeypatch)
        stream = fal_client.stream(TINY, INPUT)
        types = [next(stream)["type"]]
        assert instrumentation.flush(WAIT_S)
        service.go_away()
        away.set()
        types += [next(stream)["type"]]
        service.come_back()
        back.set()
        types += [event["type"] for event in stream]
        assert instrumentation.flush(WAIT_S)
    assert types == ["submit", "completion", "output"]
    rows = list(service.rec.events("run-1"))
    assert b"".join(map(body_part, rows)) == b"".join(FRAMES)
    assert service.rec.run("run-1").status == "completed"


def test_a_program_that_ends_while_the_service_is_away_leaves_its_runs_to_the_next(
    service: Service, settings: Settings
) -> None:
    service.go_away()
    with instrument(service.url, settings=settings) as first:
        seen = list(fal_client.stream(TINY, INPUT))
        first.uninstrument(timeout_s=0)
    service.come_back()
    with instrument(service.url, settings=settings) as second:
        assert second.flush(WAIT_S)
    assert payloads(service.rec, only_run(service.rec)) == seen


def test_a_program_that_just_ends_loses_nothing(service: Service, settings: Settings) -> None:
    assert settings.spool is not None
    with (
        serving([STREAM + chunked(*FRAMES)]) as fal,
        program(service.url, fal.url, settings.spool) as process,
    ):
        assert process.wait(WAIT_S) == 0
    assert service.rec.run("run-1").status == "completed"


def test_a_database_at_another_schema_is_away_until_somebody_sees_to_it(
    sqlite_url: str, settings: Settings
) -> None:
    set_revision = "UPDATE alembic_version SET version_num = ?"
    database = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    [(revision,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    database.execute(set_revision, ("newer",))
    with instrument(sqlite_url, settings=settings) as instrumentation:
        seen = list(fal_client.stream(TINY, INPUT))
        assert not instrumentation.flush(0)
        database.execute(set_revision, (revision,))
        assert instrumentation.flush(WAIT_S)
    database.close()
    with recorder.open(sqlite_url) as rec:
        assert payloads(rec, only_run(rec)) == seen


def test_nobody_has_to_be_there_when_recording_begins(tmp_path: Path, settings: Settings) -> None:
    """Not even the folder of the database."""
    folder = tmp_path / "data"
    url = f"sqlite:///{folder / 'runs.db'}"
    with instrument(url, settings=settings) as instrumentation:
        folder.rmdir()
        seen = list(fal_client.stream(TINY, INPUT))
        assert not instrumentation.flush(0)
        folder.mkdir()
        assert instrumentation.flush(WAIT_S)
    with recorder.open(url) as rec:
        assert payloads(rec, only_run(rec)) == seen


@contextmanager
def program(service_url: str, fal_url: str, spool: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that streams, until it is killed."""
    command = [sys.executable, "-m", "tests.sdk.sdk_process", service_url, fal_url]
    environment = os.environ | {"RECORDER_SPOOL": str(spool)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_until(rec: Recorder, true: Callable[[], bool]) -> None:
    while not true():
        rec.log.commits.wait_beyond(rec.log.head().position, 0.05)


def ended(rec: Recorder) -> bool:
    return any(isinstance(row.event, Closed) for row in run_events(rec.log, "run-1"))


def test_the_run_of_a_killed_program_is_closed_by_the_service(
    service: Service, settings: Settings
) -> None:
    rec, never = service.rec, threading.Event()
    answer: list[Step] = [STREAM + chunked(FRAMES[0], complete=False), never]
    with serving(answer) as fal:
        assert settings.spool is not None
        with program(service.url, fal.url, settings.spool) as process:
            assert said(process) == "submit"
            wait_until(rec, lambda: len(rec.log.read_run("run-1")) == 2)
            [owner] = [
                row.event.recorder
                for row in rec.log.read_run("run-1")
                if isinstance(row.event, Opened)
            ]
            lived = _beat(rec, owner) or 0
            # A lease time and more: a living one gives signs of life, and keeps its run.
            wait_until(rec, lambda: (_beat(rec, owner) or 0) > lived + 5)
            assert not ended(rec)
            process.send_signal(signal.SIGKILL)
        never.set()
        wait_until(rec, lambda: ended(rec))
    run = rec.run("run-1")
    assert (run.status, run.close_reason) == ("interrupted", "recorder_lost")


def _beat(rec: Recorder, instance: str) -> int | None:
    with rec.database.reading() as connection:
        beat: int | None = connection.exec_driver_sql(
            "SELECT beat FROM recorders WHERE instance = ?", (instance,)
        ).scalar()
        return beat


def test_what_a_program_killed_while_the_service_was_away_had_seen_is_sent_by_the_next(
    service: Service, settings: Settings
) -> None:
    service.go_away()
    rec, never, spool = service.rec, threading.Event(), settings.spool
    answer: list[Step] = [STREAM + chunked(*FRAMES[:2], complete=False), never]
    assert spool is not None
    folder = settings.spool_folder(service.url)
    with serving(answer) as fal:
        with program(service.url, fal.url, spool) as process:
            assert [said(process), said(process)] == ["submit", "completion"]
            wait_until(rec, lambda: _spooled(folder) == 3)
            process.send_signal(signal.SIGKILL)
        never.set()
    service.come_back()
    with instrument(service.url, settings=settings):
        wait_until(rec, lambda: ended(rec))
    rows = list(run_events(rec.log, "run-1"))
    assert [row.type for row in rows] == ["opened", "submit", "completion", "closed"]
    assert b"".join(map(body_part, rows[:3])) == b"".join(FRAMES[:2])
    assert rec.run("run-1").close_reason == "recorder_lost"


def _spooled(folder: Path) -> int:
    return sum(len(list(segment.read())) for segment in segments(folder))
