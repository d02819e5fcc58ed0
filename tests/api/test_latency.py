"""Latency over HTTP; the numbers are the business of tests/analytics."""

from __future__ import annotations

import httpx

from api.models import LatencyModel
from recorder.bootstrap import Recorder
from tests.api.asserts import wrong_fields
from tests.builders import WORKFLOW, one_step_run

LATENCY = "/api/v1/latency"


def test_the_report_tells_steps_and_runs(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    report = http.get(LATENCY).json()
    LatencyModel.model_validate(report)

    def just(us: float) -> dict[str, float]:
        quantiles = {f"p{share}_us": us for share in (50, 90, 95, 99)}
        return {"count": 1, **quantiles, "max_us": us}

    assert report == {
        "by": ["workflow", "node", "app"],
        "steps": [
            {
                "workflow": WORKFLOW,
                "node": "a",
                "app": "fal-ai/app",
                "completed": 1,
                "failed": 0,
                "unfinished": 0,
                "running": 0,
                "duration": just(100_000),
                "inference": just(50_000),
                "overhead": just(50_000),
            }
        ],
        "runs": [
            {
                "workflow": WORKFLOW,
                "completed": 1,
                "failed": 0,
                "interrupted": 0,
                "cancelled": 0,
                "running": 0,
                "duration": just(400_000),
                "first_event": just(100_000),
            }
        ],
        "as_of_position": 5,
    }


def test_every_parameter_narrows_or_groups(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run-a", "a"))
    sqlite_rec.log.append(one_step_run("run-b", "b"))

    def nodes(**parameters: str) -> list[str | None]:
        response = http.get(LATENCY, params=parameters)
        return [row["node"] for row in response.json()["steps"]]

    assert nodes() == ["a", "b"]
    assert nodes(node="a", app="fal-ai/app", workflow=WORKFLOW) == ["a"]
    assert nodes(by="app") == [None]
    assert nodes(since="2023-11-14T22:13:20Z", until="2023-11-14T22:13:20.000001Z") == ["a", "b"]
    assert nodes(until="2023-11-14T22:13:20Z") == []
    assert nodes(app="\0") == []


def test_a_question_that_makes_no_sense_is_refused(http: httpx.Client) -> None:
    queries = ["by=run", "by=", "by=node,node", "by=node,", "since=now", "until=%00", "limit=1"]
    named = {query: wrong_fields(http.get(f"{LATENCY}?{query}")) for query in queries}
    assert named == {query: [query.partition("=")[0]] for query in queries}
