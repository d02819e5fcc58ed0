"""Two runs side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import answers, openapi
from api.comparison_models import ComparisonModel
from api.parameters import DiffParameters
from api.reading import ServiceOf
from recorder.errors import BadQuery, ProjectionFailed, RunNotFound

router = APIRouter(prefix="/api/v1/diff", tags=["runs"])


@router.get(
    "",
    summary="Compare two runs",
    description="Steps matched by node and attempt, with how much longer the second took and how its "
    "output differs; the same of the runs as a whole, and how the inputs differ.",
    response_model=ComparisonModel,
    responses=openapi.answers(200, "COMPARISON", BadQuery, RunNotFound, ProjectionFailed),
)
def compare_runs(service: ServiceOf, wanted: Annotated[DiffParameters, Query()]) -> Response:
    """The comparison."""
    return answers.json(ComparisonModel.of(service.compare(wanted.a, wanted.b)))
