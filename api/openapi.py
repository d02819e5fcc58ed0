"""What the OpenAPI document says of answers, so that routes need not repeat it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from api import analytics_examples, examples, report_examples
from api.problems import KINDS, MEDIA_TYPE, Problem
from recorder.errors import LogUnavailable

Responses = dict[int | str, dict[str, Any]]

EVERYWHERE: Final[tuple[type[Exception], ...]] = (Exception, LogUnavailable)
_INSTANCE: Final = "/api/v1/runs"
_EXAMPLES: Final = vars(examples) | vars(report_examples) | vars(analytics_examples)


def answers(status: int, example: str, *errors: type[Exception]) -> Responses:
    """A route's documented answers: the good one with an example, and its problems.

    Args:
        status: Of the good answer.
        example: The name of its body in `api.examples`, `api.report_examples` or `api.analytics_examples`.
        errors: What may go wrong beside what may go wrong everywhere.
    """
    return {status: good(example)} | problems(*errors, *EVERYWHERE)


def good(example: str) -> dict[str, Any]:
    """A JSON answer with an example, by its name in `api.examples` or `api.report_examples`."""
    return {"content": {"application/json": {"example": example}}}


def problems(*errors: type[Exception]) -> Responses:
    """The documented problems of some errors, one answer a status, one example an error."""
    responses: Responses = {}
    for error in errors:
        kind = KINDS[error]
        answer = responses.setdefault(kind.status, _empty(kind.title))
        if kind.title not in answer["description"]:
            answer["description"] += f"; or: {kind.title}"
        name = kind.slug or "internal"
        value = kind.problem(kind.example, _INSTANCE).model_dump(exclude_none=True)
        answer["content"][MEDIA_TYPE]["examples"][name] = {"summary": kind.title, "value": value}
    return responses


def _empty(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}},
    }


def install(app: FastAPI) -> None:
    """Adds to an app's document the schemas our answers refer to, and the examples."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _add_problem(document)
            for path in document["paths"].values():
                for operation in path.values():
                    _put_examples(operation)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problem(document: dict[str, Any]) -> None:
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"].update(problem.pop("$defs"))
    document["components"]["schemas"]["Problem"] = problem


def _put_examples(operation: dict[str, Any]) -> None:
    # Only now: FastAPI leaves out every null of what it is given, in examples too.
    for answer in operation["responses"].values():
        content = answer["content"].get("application/json", {})
        if "example" in content:
            content["example"] = _EXAMPLES[content["example"]]
