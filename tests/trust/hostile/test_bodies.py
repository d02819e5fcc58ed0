"""Whatever arrives: no byte lost, no exception, one answer, on both kinds of database."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from recorder.projections.runs import Run
from recorder.store.views import RunFilter
from tests.core.test_recording import recorded_body
from tests.trust.hostile.answers import ANSWERS, AnswerCase
from tests.trust.hostile.cases import CASES, IDS, PAYLOADS, Case, Steps
from tests.trust.hostile.conftest import Recorded

ALL: dict[str, Case | AnswerCase] = {**CASES, **ANSWERS}
EVERY_CASE = pytest.mark.parametrize("name", ALL)
ANOMALIES = sorted({anomaly for case in ALL.values() for anomaly in case.anomalies})
PAGE = (Path(__file__).parents[3] / "docs" / "anomalies.md").read_text(encoding="utf-8")


def steps_of(run: Run) -> Steps:
    return tuple((step.node_id, step.attempt, step.status) for step in run.ordered_steps())


@EVERY_CASE
def test_the_run_is_the_one_expected(recorded: Recorded, name: str) -> None:
    case, run = ALL[name], recorded.runs[name]
    assert (run.status, run.close_reason, dict(run.anomalies), steps_of(run)) == (
        case.status,
        case.reason,
        case.anomalies,
        case.steps,
    )


@pytest.mark.parametrize("name", ANSWERS)
def test_a_refusal_is_kept_with_its_status_and_body(recorded: Recorded, name: str) -> None:
    assert recorded.runs[name].error == ANSWERS[name].error


@EVERY_CASE
def test_the_body_is_in_the_log_byte_for_byte(recorded: Recorded, name: str) -> None:
    assert recorded_body(recorded.rec, name) == ALL[name].make()


@EVERY_CASE
def test_the_service_tells_the_same(recorded: Recorded, name: str) -> None:
    answer = recorded.http.get(f"/api/v1/runs/{quote(name, safe='')}")
    told = answer.json()
    steps = tuple((step["node_id"], step["attempt"], step["status"]) for step in told["steps"])
    assert (answer.status_code, told["status"], told["anomalies"], steps) == (
        200,
        ALL[name].status,
        ALL[name].anomalies,
        ALL[name].steps,
    )


@pytest.mark.parametrize("name", [*PAYLOADS, *IDS])
def test_the_service_tells_every_event_and_its_frame(recorded: Recorded, name: str) -> None:
    seqs: list[int] = []
    after: int | None = -1
    while after is not None:
        asked = {"after": str(after), "limit": "1000", "frames": "true"}
        answer = recorded.http.get(f"/api/v1/runs/{name}/events", params=asked)
        assert answer.status_code == 200
        page = answer.json()
        seqs += [event["seq"] for event in page["events"]]
        after = page["next_after"]
    assert seqs == list(range(recorded.runs[name].events))


@EVERY_CASE
def test_the_service_hands_out_the_body_byte_for_byte(recorded: Recorded, name: str) -> None:
    answer = recorded.http.get(f"/api/v1/runs/{name}/body")
    assert (answer.status_code, answer.content == ALL[name].make()) == (200, True)


@pytest.mark.parametrize("anomaly", ANOMALIES)
def test_an_anomaly_finds_its_runs_and_no_others(recorded: Recorded, anomaly: str) -> None:
    page = recorded.rec.runs(RunFilter(anomaly=anomaly), limit=1_000)
    expected = {name for name, case in ALL.items() if anomaly in case.anomalies}
    assert {run.request_id for run in page.runs} == expected
    listed = recorded.http.get("/api/v1/runs", params={"anomaly": anomaly, "limit": 200}).json()
    assert {run["request_id"] for run in listed["runs"]} == expected


def test_a_rebuild_differs_in_nothing(recorded: Recorded) -> None:
    assert (recorded.differences, recorded.rebuilt) == (0, recorded.runs)


def test_the_chain_is_intact(recorded: Recorded) -> None:
    head = recorded.rec.log.head()
    assert (recorded.verdict.intact, recorded.verdict.position) == (True, head.position)


def test_both_databases_give_the_same_runs(on_sqlite: Recorded, on_postgres: Recorded) -> None:
    assert on_sqlite.runs == on_postgres.runs


def test_nothing_of_it_troubles_the_doctor(recorded: Recorded) -> None:
    findings = recorded.rec.examine()
    assert {finding.severity for finding in findings} == {"ok"}


def test_every_anomaly_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(ANOMALIES) <= set(documented)
