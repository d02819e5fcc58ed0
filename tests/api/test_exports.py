"""Exports over HTTP."""

from __future__ import annotations

import io

import httpx
import pyarrow.parquet
import pytest

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.settings import Settings
from tests.api import stalled
from tests.api.asserts import problem
from tests.api.conftest import client_of
from tests.builders import new_event, one_step_run, opened, submit
from tests.raw import RawDatabase
from tests.trust.hostile.cases import MIB


@pytest.fixture
def recorded(rec: Recorder) -> Recorder:
    rec.log.append(one_step_run("run-1"))
    rec.log.append(one_step_run("run-2", node_id="b"))
    return rec


def test_an_export_is_a_file_with_its_position(
    recorded: Recorder, http_on_both: httpx.Client
) -> None:
    response = http_on_both.get("/api/v1/export/steps", params={"node": "b"})
    assert response.headers["x-as-of-position"] == "10"
    assert response.headers["content-type"] == "application/vnd.apache.parquet"
    assert response.headers["content-disposition"] == 'attachment; filename="steps.parquet"'
    table = pyarrow.parquet.read_table(io.BytesIO(response.content))
    assert table["request_id"].to_pylist() == ["run-2"]
    for form, media_type in (
        ("csv", "text/csv; charset=utf-8"),
        ("ndjson", "application/x-ndjson"),
        ("arrow", "application/vnd.apache.arrow.stream"),
    ):
        response = http_on_both.get("/api/v1/export/events", params={"format": form})
        assert (response.status_code, response.headers["content-type"]) == (200, media_type)


def test_what_makes_no_sense_names_its_field(http: httpx.Client) -> None:
    for path, field in (
        ("/api/v1/export/everything", "relation"),
        ("/api/v1/export/runs?format=xlsx", "format"),
        ("/api/v1/export/runs?status=fine", "status"),
        ("/api/v1/export/runs?since=yesterday", "since"),
        ("/api/v1/export/runs?until=2026-01-01&since=2026-01-02", "since"),
        ("/api/v1/export/runs?wrokflow=a", "wrokflow"),
    ):
        document = problem(http.get(path), 422, "invalid-request")
        assert [each["field"] for each in document["errors"]] == [field]


def _large(rec: Recorder) -> None:
    rec.log.append([new_event("a", 0, opened("a"))])
    for seq in range(1, 41):
        rec.log.append([new_event("a", seq, submit("x" * MIB))])


def test_an_export_that_breaks_off_is_cut(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url, fal_key=None)
    raw = RawDatabase(postgres_url)
    with recorder.open(postgres_url, settings=settings) as rec:
        _large(rec)
        with (
            ApiServer(rec) as server,
            client_of(server) as client,
            client.stream("GET", "/api/v1/export/events?format=ndjson") as response,
        ):
            lines = response.iter_lines()
            next(lines)
            raw.execute(_END_ALL_OTHERS)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
    raw.close()
    assert response.status_code == 200


_END_ALL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_client_that_leaves_ends_the_work(sqlite_rec: Recorder) -> None:
    _large(sqlite_rec)
    with ApiServer(sqlite_rec) as server, client_of(server) as client:
        connection = stalled.ask(server, "/api/v1/export/events?format=ndjson")
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
        pool = sqlite_rec.database.engine.pool
        busy = pool.checkedout()  # type: ignore[attr-defined]
        connection.close()
        while pool.checkedout() >= busy:  # type: ignore[attr-defined]
            client.get("/healthz")
