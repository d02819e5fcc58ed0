"""A route for every question about many runs."""

# No lazy annotations: a route's are made here, of the question's own models.

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field, create_model

from analytics.catalogue import QUESTIONS
from analytics.face import Answered
from analytics.formats import MEDIA_TYPES, Format, as_arrow, as_csv, as_parquet
from analytics.question import Asking
from api import answers, openapi
from api.reading import Service, ServiceOf
from recorder.errors import BadQuery, RunNotFound

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

_FILES: Final = {"csv": as_csv, "arrow": as_arrow, "parquet": as_parquet}


def _route(question: type[Asking]) -> Callable[..., Response]:
    parameters: Any = create_model(
        f"{question.__name__}Parameters",
        __base__=question,
        format=(Format, Field("json", description="How the rows are written.")),
    )

    def ask(service: Service, wanted: Any) -> Response:
        asked = question.model_construct(
            **{name: getattr(wanted, name) for name in question.model_fields}
        )
        return _written(service.ask(asked), question, wanted.format)

    ask.__annotations__ = {
        "service": ServiceOf,
        "wanted": Annotated[parameters, Query()],
        "return": Response,
    }
    return ask


def _written(answered: Answered, question: type[Asking], wanted: Format) -> Response:
    if wanted == "json":
        rows = answered.table.to_pylist()
        return answers.json(
            question.answer_model(rows=rows, as_of_position=answered.as_of_position)
        )
    return Response(
        _FILES[wanted](answered.table),
        headers={"x-as-of-position": str(answered.as_of_position)},
        media_type=MEDIA_TYPES[wanted],
    )


for _question in QUESTIONS:
    _name = _question.name.replace("-", "_")
    _errors = [BadQuery] if _question.name != "run-path" else [BadQuery, RunNotFound]
    router.get(
        f"/{_question.name}",
        name=_name,
        summary=_question.title,
        description=(_question.__doc__ or "").replace("\n    ", "\n"),
        response_model=_question.answer_model,
        responses=openapi.answers(200, f"ANALYTICS_{_name.upper()}", *_errors),
    )(_route(_question))
