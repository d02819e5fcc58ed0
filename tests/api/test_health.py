"""Alive, ready, and how far behind."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest

from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.errors import ProjectionFailed
from recorder.events import LoggedEvent
from recorder.projections.runs import Run, fold
from recorder.projector import Projector
from tests.api.asserts import problem
from tests.api.conftest import client_of
from tests.builders import history, one_step_run, submit


def fold_until_poison(run: Run, events: Iterable[LoggedEvent]) -> Run:
    """A fold with a mistake in it."""
    found = list(events)
    if any(event.node_id == "poison" for event in found):
        raise KeyError("a secret")
    return fold(run, found)


@pytest.fixture
def stuck(sqlite_rec: Recorder) -> Recorder:
    """A recorder whose projection stops at position 7."""
    sqlite_rec.projector = Projector(sqlite_rec.database, sqlite_rec.log, fold=fold_until_poison)
    sqlite_rec.log.append(one_step_run("good"))
    sqlite_rec.log.append(history("bad", submit("poison")))
    with pytest.raises(ProjectionFailed):
        sqlite_rec.projector.catch_up()
    return sqlite_rec


def test_health_tells_how_far_things_have_come(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    sqlite_rec.projector.catch_up()
    expected = {
        "status": "ok",
        "log_position": 5,
        "projection_position": 5,
        "lag_events": 0,
        "projection_failure": None,
        "columns_position": 0,
        "columns_failure": None,
    }
    assert http.get("/healthz").json() == expected
    assert http.get("/readyz").json() == expected


def test_a_stopped_projection_is_alive_but_not_ready(stuck: Recorder) -> None:
    with ApiServer(stuck) as server, client_of(server) as http:
        assert http.get("/healthz").json() == {
            "status": "ok",
            "log_position": 8,
            "projection_position": 6,
            "lag_events": 2,
            "projection_failure": "before position 7",
            "columns_position": 0,
            "columns_failure": None,
        }
        response = http.get("/readyz")
        problem(response, 503, "projection-failed")
        assert "secret" not in response.text


def test_what_was_projected_before_it_stopped_is_still_served(stuck: Recorder) -> None:
    with ApiServer(stuck) as server, client_of(server) as http:
        page = http.get("/api/v1/runs").json()
        assert [run["request_id"] for run in page["runs"]] == ["bad", "good"]
        assert page["as_of_position"] == 6
        assert http.get("/api/v1/latency").json()["as_of_position"] == 6
        assert http.get("/api/v1/runs/good").json()["status"] == "completed"
        problem(http.get("/api/v1/runs/none"), 404, "run-not-found")
        assert len(http.get("/api/v1/runs/bad/events").json()["events"]) == 3


def test_a_run_the_projection_stopped_before_is_not_called_missing(stuck: Recorder) -> None:
    stuck.log.append(one_step_run("later"))
    with ApiServer(stuck) as server, client_of(server) as http:
        problem(http.get("/api/v1/runs/later"), 503, "projection-failed")


def test_without_its_database_the_process_is_alive_but_not_ready(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    with sqlite_rec.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE log_head RENAME TO elsewhere")
    health = http.get("/healthz")
    assert health.status_code == 200
    assert health.json()["log_position"] is None
    refused = http.get("/readyz")
    problem(refused, 503, "log-unavailable")
    assert refused.headers["retry-after"] == "5"
    assert "log_head" not in refused.text


def test_the_index_links_to_what_answers(http: httpx.Client) -> None:
    links = http.get("/").json()["links"]
    assert {name: http.get(path).status_code for name, path in links.items()} == {
        "runs": 200,
        "latency": 200,
        "openapi": 200,
        "health": 200,
        "readiness": 200,
        "metrics": 200,
    }
