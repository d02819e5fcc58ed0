"""Runs out of one service and into another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import recorder
from api.routes import portable
from api.server import ApiServer
from recorder.bootstrap import Recorder
from tests.api.asserts import problem
from tests.api.conftest import client_of
from tests.builders import as_new, interleaved, one_step_run

IMPORTS = "/api/v1/imports"
ZIP = {"content-type": "application/zip"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Recorder]:
    """Another recorder."""
    with recorder.open(f"sqlite:///{tmp_path / 'there.db'}") as opened:
        yield opened


@pytest.fixture
def http_there(there: Recorder) -> Iterator[httpx.Client]:
    """A client of the API over `there`."""
    with ApiServer(there) as server, client_of(server) as client:
        yield client


def test_an_exported_run_is_imported_once(
    http: httpx.Client, sqlite_rec: Recorder, http_there: httpx.Client, there: Recorder
) -> None:
    sqlite_rec.log.append(interleaved(one_step_run("a/b"), one_step_run("other")))
    exported = http.get("/api/v1/runs/a%2Fb/export")
    assert exported.headers["content-type"] == "application/zip"
    assert exported.content == b"".join(sqlite_rec.export(["a/b"]))
    answers = [http_there.post(IMPORTS, content=exported.content, headers=ZIP) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"imported": [{"request_id": "a/b", "events": 5, "added": 5}]}),
        (200, {"imported": [{"request_id": "a/b", "events": 5, "added": 0}]}),
    ]
    assert as_new(there.events("a/b")) == as_new(sqlite_rec.events("a/b"))
    assert http_there.get("/api/v1/runs/a%2Fb").json()["source"] == "http"


def test_what_is_not_there_cannot_be_exported(http: httpx.Client) -> None:
    problem(http.get("/api/v1/runs/none/export"), 404, "run-not-found")


def test_a_run_that_is_another_here_is_a_conflict(
    http: httpx.Client, sqlite_rec: Recorder, http_there: httpx.Client, there: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("a", "x"))
    there.log.append(one_step_run("a", "y"))
    file = http.get("/api/v1/runs/a/export").content
    document = problem(http_there.post(IMPORTS, content=file, headers=ZIP), 409, "run-conflict")
    said = "run a is in the log already, and differs at seq 1: another event stands there"
    assert document["detail"] == said


def test_what_is_no_file_of_runs_is_refused(http: httpx.Client, sqlite_rec: Recorder) -> None:
    for content in (b"", b"PK", b"x" * 5_000_000):
        answer = http.post(IMPORTS, content=content, headers=ZIP)
        assert problem(answer, 422, "bad-run-file")["detail"] == "the file: is no zip, or not whole"
    problem(http.post(IMPORTS, content=b"x"), 415, "not-zip")
    problem(http.post(IMPORTS, json={}), 415, "not-zip")
    assert sqlite_rec.log.head().position == 0


def test_a_file_that_is_too_large_is_refused(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "MAX_FILE_BYTES", 1_000)
    answer = http.post(IMPORTS, content=bytes(1_500), headers=ZIP)
    assert (
        problem(answer, 413, "body-too-large")["detail"] == "a request body has at most 1000 bytes"
    )
