"""The OpenAPI document is complete, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from analytics.catalogue import QUESTIONS
from api import (
    comparing_models,
    comparison_models,
    ingest_models,
    models,
    problems,
    report_models,
    sql_models,
)
from api.app import create_app
from api.problems import Problem
from recorder import lines, sse
from recorder.bootstrap import Recorder
from tests.builders import one_step_run

MODELS: dict[str, type[BaseModel]] = {
    name: model
    for module in (
        models,
        comparison_models,
        comparing_models,
        ingest_models,
        report_models,
        sql_models,
    )
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel)
} | {question.answer_model.__name__: question.answer_model for question in QUESTIONS}
DOCS = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def document(sqlite_rec: Recorder) -> Iterator[dict[str, Any]]:
    app = create_app(sqlite_rec)
    yield app.openapi()
    app.state.service.background.close(0)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "get /",
        "get /healthz",
        "get /readyz",
        "get /metrics",
        "get /api/v1/runs",
        "post /api/v1/runs",
        "get /api/v1/runs/{request_id}",
        "get /api/v1/runs/{request_id}/events",
        "post /api/v1/runs/{request_id}/events",
        "get /api/v1/runs/{request_id}/body",
        "get /api/v1/runs/{request_id}/stream",
        "get /api/v1/runs/{request_id}/export",
        "post /api/v1/runs/{request_id}/rerun",
        "post /api/v1/imports",
        "get /api/v1/diff",
        "get /api/v1/events",
        "get /api/v1/definitions/{digest}",
        "post /api/v1/events",
        "put /api/v1/recorders/{instance}",
        "get /api/v1/latency",
        "get /api/v1/analytics/compare",
        "get /api/v1/analytics/changes",
        "get /api/v1/analytics/report",
        "post /api/v1/webhooks/fal",
        "post /api/v1/sql",
        "get /api/v1/export/{relation}",
    } | {f"get /api/v1/analytics/{question.name}" for question in QUESTIONS}
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert all(each["description"] for each in operation.get("parameters", [])), name


def test_every_good_answer_has_an_example_of_its_model(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        good = {s: a for s, a in operation["responses"].items() if s.startswith("2")}
        assert good, name
        for status, answer in good.items():
            (content,) = answer["content"].values()
            if "$ref" not in content["schema"]:  # bytes, or JSON as somebody sent it
                assert content["example"], name
                continue
            model = MODELS[content["schema"]["$ref"].rpartition("/")[2]]
            shown = model.model_validate(content["example"]).model_dump_json(exclude_unset=True)
            assert json.loads(shown) == content["example"], (name, status)


def test_every_bad_answer_is_a_problem_with_examples(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        bad = {s: a for s, a in operation["responses"].items() if not s.startswith("2")}
        assert {"500", "503"} <= set(bad), name
        for status, answer in bad.items():
            assert set(answer["content"]) == {problems.MEDIA_TYPE}, name
            content = answer["content"][problems.MEDIA_TYPE]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"], (name, status)
            for example in content["examples"].values():
                assert Problem.model_validate(example["value"]).status == int(status)


def test_every_request_body_has_an_example(document: dict[str, Any]) -> None:
    shown = {
        (path, media_type): content["example"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for media_type, content in operation.get("requestBody", {"content": {}})["content"].items()
    }
    one, many = "/api/v1/runs/{request_id}/events", "/api/v1/events"
    models.StartModel.model_validate(shown.pop(("/api/v1/runs", "application/json")))
    rerun = ("/api/v1/runs/{request_id}/rerun", "application/json")
    models.RerunModel.model_validate(shown.pop(rerun))
    sql_models.SqlModel.model_validate(shown.pop(("/api/v1/sql", "application/json")))
    assert shown.pop(("/api/v1/imports", "application/zip")) is not None
    assert shown.pop(("/api/v1/webhooks/fal", "application/json"))["status"] == "OK"
    [event] = lines.decode(shown.pop((one, "application/x-ndjson")).encode(), "run")
    [addressed] = lines.decode(shown.pop((many, "application/x-ndjson")).encode())
    assert event.frame == addressed.frame
    assert [
        frame.data for frame in sse.Decoder().feed(shown.pop((one, "text/event-stream")).encode())
    ]
    assert shown == {}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert references <= {f"#/components/schemas/{name}" for name in schemas}
    assert "#/components/schemas/Problem" in references


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


_NEEDED = {
    "/api/v1/diff": {"a": "run", "b": "run"},
    "/api/v1/analytics/run-path": {"request_id": "run"},
}


def test_real_answers_have_the_documented_shape(http: httpx.Client, sqlite_rec: Recorder) -> None:
    sqlite_rec.log.append(one_step_run("run"))
    document = http.get("/api/v1/openapi.json").json()
    for name, operation in operations(document):
        method, _, path = name.partition(" ")
        content = operation["responses"].get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if method != "get" or "$ref" not in schema:  # a stream, bytes, or JSON as somebody sent it
            continue
        asked = _NEEDED.get(path)
        answer = http.get(path.replace("{request_id}", "run"), params=asked)
        model = MODELS[schema["$ref"].rpartition("/")[2]]
        model.model_validate(answer.json())
        assert set(answer.json()) == set(model.model_fields), name


def test_the_manual_names_every_problem_and_every_address(document: dict[str, Any]) -> None:
    manual = DOCS.read_text(encoding="utf-8")
    slugs = {kind.slug for kind in problems.KINDS.values() if kind.slug is not None}
    assert {slug for slug in slugs if f"`/problems/{slug}`" not in manual} == set()
    assert {path for path in document["paths"] if f"{path}`" not in manual} == set()
