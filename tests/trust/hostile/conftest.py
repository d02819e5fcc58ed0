"""All hostile bodies recorded into one log, on each kind of database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import recorder
from api.server import ApiServer
from recorder.audit import Verdict
from recorder.bootstrap import Recorder
from recorder.projections.runs import Run
from recorder.recording import Recording
from recorder.runner import WorkflowRun
from recorder.settings import Settings
from recorder.sources.http import resolve
from tests.builders import opened
from tests.clocks import ManualClock
from tests.core.raw_server import serving
from tests.postgres import PostgresServer
from tests.trust.hostile.answers import ANSWERS, AnswerCase
from tests.trust.hostile.cases import CASES, Case

CHUNK_BYTES = 64 * 1024
WAIT_S = 60


class Recorded:
    """A log with all cases in it, each a run by the case's name.

    Attributes:
        rec: The recorder.
        runs: The runs as they were folded while they came in.
        rebuilt: The runs after a rebuild.
        differences: How many runs the rebuild found otherwise.
        verdict: On the chain.
        http: A client of the service over the recorder.
    """

    def __init__(self, rec: Recorder, http: httpx.Client) -> None:
        self.rec = rec
        self.http = http
        for request_id, case in CASES.items():
            _record(rec, request_id, case)
        for request_id, answer in ANSWERS.items():
            _run(rec, request_id, answer)
        self.runs = self._all_runs()
        self.differences = rec.rebuild().differences
        self.rebuilt = self._all_runs()
        self.verdict: Verdict = rec.verify()

    def _all_runs(self) -> Mapping[str, Run]:
        return {request_id: self.rec.run(request_id) for request_id in (*CASES, *ANSWERS)}


def _record(rec: Recorder, request_id: str, case: Case) -> None:
    clock = ManualClock()
    recording = Recording(rec.writer, clock=clock)
    recording.open(opened(request_id))
    body = case.make()
    for start in range(0, len(body), CHUNK_BYTES):
        clock.advance(1_000)
        recording.feed(body[start : start + CHUNK_BYTES])
    recording.close(case.reason)
    assert recording.fault is None
    recording.wait(WAIT_S)


def _run(rec: Recorder, request_id: str, answer: AnswerCase) -> None:
    with (
        serving([answer.head(request_id) + answer.make()], answer.ending) as server,
        httpx.Client(trust_env=False, timeout=30) as client,
    ):
        target = resolve("workflows/o/n", fal_url=server.url)
        running = WorkflowRun(rec.writer, target, b"{}", client, clock=ManualClock())
        for _ in running:
            pass
        assert running.recording.fault is None
        running.recording.wait(WAIT_S)


@contextmanager
def _recorded(url: str) -> Iterator[Recorded]:
    settings = Settings(database_url=url, fal_key=None)
    with (
        recorder.open(url, settings=settings) as rec,
        ApiServer(rec) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        yield Recorded(rec, http)


@pytest.fixture(scope="package")
def on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Recorded]:
    path = tmp_path_factory.mktemp("hostile") / "log.db"
    shutil.copy(sqlite_template, path)
    with _recorded(f"sqlite:///{path}") as recorded:
        yield recorded


@pytest.fixture(scope="package")
def on_postgres(postgres: PostgresServer, postgres_template: str) -> Iterator[Recorded]:
    name = postgres.create(postgres_template)
    with _recorded(postgres.url(name)) as recorded:
        yield recorded
    postgres.drop(name)


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """The hostile log on both kinds of database."""
    found: Recorded = request.getfixturevalue(f"on_{request.param}")
    return found
