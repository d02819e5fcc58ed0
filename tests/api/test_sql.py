"""The SQL console over HTTP."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from api.server import ApiServer
from recorder.bootstrap import Recorder
from tests.api.asserts import problem
from tests.api.conftest import client_of
from tests.builders import one_step_run

FOREVER = "SELECT count(*) FROM range(100000000000) WHERE range % 7 = 9"


@pytest.fixture
def asked(sqlite_rec: Recorder) -> Iterator[httpx.Client]:
    for number in range(3):
        sqlite_rec.log.append(one_step_run(f"run-{number}"))
    with ApiServer(sqlite_rec) as server, client_of(server) as client:
        yield client


def test_a_query_is_answered_in_json(asked: httpx.Client) -> None:
    body = {
        "sql": "SELECT request_id, events FROM runs WHERE request_id > $above ORDER BY ALL",
        "parameters": {"above": "run-0"},
    }
    response = asked.post("/api/v1/sql", json=body)
    answer = response.json()
    assert answer.pop("elapsed_us") > 0
    assert answer == {
        "columns": [
            {"name": "request_id", "type": "VARCHAR"},
            {"name": "events", "type": "BIGINT"},
        ],
        "rows": [["run-1", 5], ["run-2", 5]],
        "row_count": 2,
        "truncated": False,
        "as_of_position": 15,
    }
    assert response.headers["x-as-of-position"] == "15"
    assert int(response.headers["content-length"]) == len(response.content)


def test_the_other_formats_say_in_headers_what_they_cannot_say_themselves(
    asked: httpx.Client,
) -> None:
    sql = "SELECT position FROM events ORDER BY position"
    media_types = {}
    for form, read in (
        ("csv", lambda data: [int(line) for line in data.decode().splitlines()[1:]]),
        ("parquet", lambda data: pa.parquet.read_table(io.BytesIO(data))["position"].to_pylist()),
        ("arrow", lambda data: pa.ipc.open_stream(data).read_all()["position"].to_pylist()),
    ):
        response = asked.post(
            "/api/v1/sql", json={"sql": sql, "format": form, "limits": {"rows": 4}}
        )
        assert read(response.content) == [1, 2, 3, 4]
        told = [
            response.headers[f"x-{name}"] for name in ("as-of-position", "row-count", "truncated")
        ]
        assert told == ["15", "4", "true"]
        media_types[form] = response.headers["content-type"]
    assert media_types == {
        "csv": "text/csv; charset=utf-8",
        "parquet": "application/vnd.apache.parquet",
        "arrow": "application/vnd.apache.arrow.stream",
    }


def test_a_mistake_is_told_in_duckdbs_words_with_its_place(asked: httpx.Client) -> None:
    document = problem(asked.post("/api/v1/sql", json={"sql": "SELEC 1"}), 422, "bad-sql")
    assert document["detail"] == (
        'Parser Error: syntax error at or near "SELEC"\n\nLINE 1: SELEC 1\n        ^^^^^'
    )


def test_a_limit_is_named_with_its_value(asked: httpx.Client) -> None:
    body = {"sql": FOREVER, "limits": {"time_s": 0.2}}
    document = problem(asked.post("/api/v1/sql", json=body), 422, "sql-limit")
    assert document["detail"] == "the query went beyond its limit: time_s is 0.2"
    assert document["errors"] == [{"field": "limits.time_s", "detail": "0.2"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "sql"),
        ({"sql": 1}, "sql"),
        ({"sql": "SELECT 1", "format": "xml"}, "format"),
        ({"sql": "SELECT 1", "parameters": 1}, "parameters"),
        ({"sql": "SELECT 1", "limits": {"time_s": 1e9}}, "limits.time_s"),
        ({"sql": "SELECT 1", "limits": {"rows": -1}}, "limits.rows"),
        ({"sql": "SELECT 1", "limits": {"cores": 1}}, "cores"),
        ({"sql": "SELECT 1", "path": "/etc"}, "path"),
    ],
)
def test_a_body_that_makes_no_sense_names_its_field(
    asked: httpx.Client, body: object, field: str
) -> None:
    document = problem(asked.post("/api/v1/sql", json=body), 422, "invalid-request")
    assert [each["field"] for each in document["errors"]] == [field]


def test_a_page_of_another_origin_cannot_ask_unasked(asked: httpx.Client) -> None:
    response = asked.post(
        "/api/v1/sql", content=b'{"sql": "SELECT 1"}', headers={"content-type": "text/plain"}
    )
    problem(response, 415, "not-json")


def test_a_query_that_is_too_long_is_refused(asked: httpx.Client) -> None:
    body = {"sql": f"SELECT '{'x' * 2_100_000}'"}
    problem(asked.post("/api/v1/sql", json=body), 413, "body-too-large")


def test_more_queries_than_may_be_are_told_to_come_again(asked: httpx.Client) -> None:
    began = threading.Barrier(3)
    statuses: list[int] = []

    def ask() -> None:
        began.wait()
        response = asked.post("/api/v1/sql", json={"sql": FOREVER, "limits": {"time_s": 2}})
        statuses.append(response.status_code)
        if response.status_code == 429:
            problem(response, 429, "too-many-queries")
            assert response.headers["retry-after"] == "5"

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [422, 422, 429]


def test_a_client_that_leaves_ends_its_query(sqlite_rec: Recorder) -> None:
    body = json.dumps({"sql": FOREVER, "limits": {"time_s": 300, "cpu_s": 600}}).encode()
    with ApiServer(sqlite_rec) as server, client_of(server) as client:
        service = server.app.state.service
        connections = [_ask_and_wait(server, body) for _ in range(2)]
        while len(service.console._under_way) < 2:
            pass
        for connection in connections:
            connection.close()
        while service.console._under_way:
            pass
        assert client.post("/api/v1/sql", json={"sql": "SELECT 1"}).json()["rows"] == [[1]]


def _ask_and_wait(server: ApiServer, body: bytes) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST /api/v1/sql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_a_service_that_ends_ends_its_queries(sqlite_rec: Recorder) -> None:
    body = json.dumps({"sql": FOREVER, "limits": {"time_s": 300, "cpu_s": 600}}).encode()
    with ApiServer(sqlite_rec) as server:
        connection = _ask_and_wait(server, body)
        while not server.app.state.service.console._under_way:
            pass
    with connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 503 ")
