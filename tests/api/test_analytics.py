"""Questions about many runs over HTTP; the numbers are the business of tests/analytics."""

from __future__ import annotations

import io
import json

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from analytics.catalogue import QUESTIONS
from recorder.bootstrap import Recorder
from tests.api.asserts import problem, wrong_fields
from tests.builders import WORKFLOW, history, one_step_run, output, submit

ANALYTICS = "/api/v1/analytics"


def test_an_answer_is_typed_rows_and_a_position(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    parameters = {"by": "node", "percentiles": "50", "measures": "inference", "bucket": "day"}
    assert http.get(f"{ANALYTICS}/latency", params=parameters).json() == {
        "rows": [
            {
                "workflow": None,
                "node": "a",
                "app": None,
                "status": None,
                "definition": None,
                "bucket_at": "2023-11-14T00:00:00.000000Z",
                "measure": "inference",
                "n": 1,
                "mean_us": 50_000.0,
                "max_us": 50_000,
                "percentile": 50.0,
                "value_us": 50_000.0,
                "low_us": None,
                "high_us": None,
            }
        ],
        "as_of_position": 5,
    }


@pytest.mark.parametrize("question", [q.name for q in QUESTIONS if q.name != "run-path"])
def test_an_empty_log_has_empty_answers(http: httpx.Client, question: str) -> None:
    assert http.get(f"{ANALYTICS}/{question}").json() == {"rows": [], "as_of_position": 0}


def test_every_filter_narrows(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run-a", "a"))
    sqlite_rec.log.append(one_step_run("run-b", "b"))
    sqlite_rec.log.append(history("run-c", submit("c"), reason=None))

    def nodes(**parameters: str) -> list[str]:
        answer = http.get(f"{ANALYTICS}/slowest", params={"of": "steps"} | parameters).json()
        return sorted(row["node"] for row in answer["rows"])

    assert nodes() == ["a", "b"]
    assert nodes(node="a", app="fal-ai/app", workflow=WORKFLOW, status="completed") == ["a"]
    assert nodes(since="2023-11-14T22:13:20Z", until="2023-11-14T22:13:20.000001Z") == ["a", "b"]
    assert nodes(until="2023-11-14T22:13:20") == nodes(since="24h") == nodes(status="failed") == []
    assert nodes(definition="none") == nodes(app="\0") == []
    assert nodes(until="7d") == ["a", "b"]


def test_lists_are_written_with_commas_or_one_by_one(
    http: httpx.Client, sqlite_rec: Recorder
) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    urls = [
        "latency?by=node,app&percentiles=50,95",
        "latency?by=node&by=app&percentiles=50&percentiles=95",
    ]
    one, other = (http.get(f"{ANALYTICS}/{url}").json() for url in urls)
    assert one == other
    assert len(one["rows"]) == 6


@pytest.mark.parametrize(
    "query",
    [
        "latency?by=run",
        "latency?by=node,node",
        "latency?of=runs&by=node",
        "latency?measures=queued",
        "latency?percentiles=0",
        "latency?percentiles=abc",
        "latency?confidence=1",
        "latency?bucket=second",
        "latency?since=now",
        "latency?until=%00",
        "latency?status=done",
        "latency?until=2026-01-01&since=2026-01-02",
        "critical-path?until=2026-01-01&since=2026-01-02",
        "latency?limit=1",
        "latency?format=xml",
        "first-event?by=node",
        "throughput?bucket=",
        "concurrency?bucket=year",
        "load?count=apps",
        "load?measure=queued",
        "errors?limit=0",
        "heatmap?bins=0",
        "heatmap?of=apps",
        "slowest?limit=1001",
        "unusual?score=-1",
        "unusual?least=2",
        "outputs?by=status",
        "image-sizes?limit=x",
        "repeated-inputs?nope=1",
        "repeated-seeds?limit=-1",
        "time-spent?since=soon",
        "critical-path?status=",
        "run-path?request_id=run&since=7d",
        "cost?by=run,app",
        "cost?prices=%7B",
        'cost?prices={"currency":"USD"}',
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field_named(
    http: httpx.Client, query: str
) -> None:
    (name, *_) = [part.partition("=")[0] for part in query.partition("?")[2].split("&")][::-1]
    (field,) = wrong_fields(http.get(f"{ANALYTICS}/{query}"))
    assert field.partition(".")[0] == name


def test_a_run_is_needed_where_one_is_asked_about(http: httpx.Client) -> None:
    assert wrong_fields(http.get(f"{ANALYTICS}/run-path")) == ["request_id"]
    problem(http.get(f"{ANALYTICS}/run-path?request_id=none"), 404, "run-not-found")
    problem(http.get(f"{ANALYTICS}/nope"), 404)


def test_answers_come_as_files_too(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(history("=1+1", submit("@a"), output()))

    def file(name: str) -> httpx.Response:
        answer = http.get(f"{ANALYTICS}/slowest", params={"format": name})
        assert answer.headers["x-as-of-position"] == "4"
        return answer

    csv, arrow, parquet = file("csv"), file("arrow"), file("parquet")
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table == pyarrow.parquet.read_table(io.BytesIO(parquet.content))
    assert table.column("request_id").to_pylist() == ["=1+1"]
    read = pyarrow.csv.read_csv(io.BytesIO(csv.content))
    assert read.column("request_id").to_pylist() == ["'=1+1"]
    assert read.column("duration_us").to_pylist() == table.column("duration_us").to_pylist()


def test_a_price_table_may_come_along(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    prices = {"currency": "USD", "apps": {"fal-ai/app": {"per": "request", "price": 0.1}}}
    (row,) = http.get(f"{ANALYTICS}/cost", params={"prices": json.dumps(prices)}).json()["rows"]
    assert (row["cost"], row["currency"]) == ("0.1", "USD")
