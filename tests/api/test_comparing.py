"""Comparing and finding changes over HTTP; the numbers are the business of tests/analytics."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from api.comparing_models import ChangesModel, CompareModel
from api.report_models import ReportModel
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.api.asserts import wrong_fields
from tests.builders import WORKFLOW, completion, history, output, submit
from tests.clocks import NOVEMBER_2023_US

COMPARE = "/api/v1/analytics/compare"
CHANGES = "/api/v1/analytics/changes"
REPORT = "/api/v1/analytics/report"
START = "2023-11-14T22:13:20Z"
HOUR_US = 3_600_000_000


def run(number: int, step_us: int, *, at_us: int) -> list[NewEvent]:
    events = history(f"run/{number}", submit("a"), completion("a"), output(), every_us=step_us)
    return [msgspec.structs.replace(event, received_at=at_us) for event in events]


def record(rec: Recorder, *, runs: int) -> None:
    """So many runs in an hour, and as many in the next that take longer by a fifth."""
    for number in range(2 * runs):
        step_us = 1_000 + number % 50 + 200 * (number >= runs)
        rec.log.append(run(number, step_us, at_us=NOVEMBER_2023_US + number * HOUR_US // runs))


def test_a_comparison_tells_verdicts_and_links_to_the_runs_that_show_them(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    record(sqlite_rec, runs=50)
    asked = {
        "since": "2023-11-14T23:13:20Z",
        "until": "2023-11-15T00:13:20Z",
        "compare": "previous",
    }
    answer = http.get(
        COMPARE, params=asked | {"workflow": WORKFLOW, "percentiles": "50,99.9"}
    ).json()
    told = CompareModel.model_validate(answer)
    assert (told.a.since, told.a.until) == ("2023-11-14T22:13:20.000000Z", told.b.since)
    (group,) = told.steps
    duration = group.measures.duration
    assert duration is not None
    assert (duration.verdict, duration.a_count, duration.b_count) == ("worse", 50, 50)
    assert [each.change_us for each in duration.percentiles] == [200.0, 200.0]
    assert duration.drivers[0].model_dump() == {
        "request_id": "run/99",
        "value_us": 1_249,
        "href": "/api/v1/runs/run%2F99",
    }
    assert http.get(duration.drivers[0].href).json()["request_id"] == "run/99"


def test_sides_are_told_apart_by_what_one_of_them_has(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    record(sqlite_rec, runs=3)
    answer = http.get(COMPARE, params={"a_until": START, "b_since": START, "by": "app"}).json()
    (group,) = answer["steps"]
    assert (group["workflow"], group["app"]) == (None, "fal-ai/app")
    duration = group["measures"]["duration"]
    assert (duration["a_count"], duration["b_count"], duration["verdict"]) == (0, 6, "no evidence")


def test_changes_are_told_with_both_levels(http: httpx.Client, sqlite_rec: Recorder) -> None:
    record(sqlite_rec, runs=200)
    answer = http.get(CHANGES, params={"percentiles": "50", "node": "a"}).json()
    told = ChangesModel.model_validate(answer)
    assert [(each.node, each.verdict, each.at) for each in told.changes] == [
        ("a", "worse", "2023-11-14T23:13:20.000000Z"),
        (None, "worse", "2023-11-14T23:13:20.000000Z"),
    ]
    (median,) = told.changes[0].percentiles
    assert (median.before_us, median.change_us) == (1_024.5, 200.0)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=run", "by"),
        ("measures=queue", "measures"),
        ("percentiles=50,x", "percentiles"),
        ("percentiles=0", "percentiles"),
        ("percentiles=nan", "percentiles"),
        ("compare=next", "compare"),
        ("a_since=now", "a_since"),
        ("compare=previous&b_until=2023-11-14T22:13:20Z", "compare"),
        ("since=2023-11-14T22:13:20Z&until=2023-11-14T22:13:20Z", "since"),
        ("a_node=x&b_node=x", "b"),
        ("b_status=odd", "b_status"),
        ("limit=1", "limit"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(
    http: httpx.Client, query: str, field: str
) -> None:
    assert wrong_fields(http.get(f"{COMPARE}?{query}")) == [field]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("measure=queue", "measure"),
        ("percentiles=,", "percentiles"),
        ("since=1", "since"),
        ("by=a", "by"),
    ],
)
def test_a_question_about_changes_that_makes_no_sense_is_refused(
    http: httpx.Client, query: str, field: str
) -> None:
    assert wrong_fields(http.get(f"{CHANGES}?{query}")) == [field]


def test_a_report_has_what_latency_answers_and_more(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    record(sqlite_rec, runs=50)
    asked = {"since": "2023-11-14T23:13:20Z", "until": "2023-11-15T00:13:20Z", "by": "node"}
    answer = http.get(REPORT, params=asked | {"compare": "previous"}).json()
    latency = http.get("/api/v1/latency", params=asked).json()
    assert {name: answer[name] for name in latency} == latency
    told = ReportModel.model_validate(answer)
    assert told.totals_before is not None
    assert (told.totals.runs, told.totals_before.runs) == (50, 50)
    assert told.compare is not None
    assert told.compare.b.since == told.since
    assert http.get(told.slowest[0].href).json()["request_id"] == told.slowest[0].request_id
    assert sum(each.runs for each in told.timeline.buckets) == 50


def test_times_are_given_as_in_every_other_question(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    record(sqlite_rec, runs=3)
    dates = {"since": "2023-11-14", "until": "2023-11-16"}
    assert http.get(REPORT, params=dates).json()["totals"]["runs"] == 6
    assert http.get(REPORT, params={"since": "7d"}).json()["totals"]["runs"] == 0
    assert http.get(CHANGES, params={"since": "2w"}).status_code == 200
    told = http.get(COMPARE, params={"a_until": "2023-11-15", "b_since": "24h"}).json()
    assert told["a"]["until"] == "2023-11-15T00:00:00.000000Z"


@pytest.mark.parametrize(("form", "media_type"), [("html", "text/html"), ("md", "text/markdown")])
def test_a_report_is_a_document_whose_links_lead_to_this_service(
    http: httpx.Client, sqlite_rec: Recorder, form: str, media_type: str
) -> None:
    record(sqlite_rec, runs=1)
    answer = http.get(REPORT, params={"format": form})
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert "/api/v1/runs/run%2F1" in answer.text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=pdf", "format"),
        ("by=run", "by"),
        ("compare=next", "compare"),
        ("compare=previous&until=2023-11-14T22:13:20Z&since=2023-11-14T22:13:20Z", "since"),
        ("until=never", "until"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(
    http: httpx.Client, query: str, field: str
) -> None:
    assert wrong_fields(http.get(f"{REPORT}?{query}")) == [field]
