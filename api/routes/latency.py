"""Latency of steps and runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import answers, openapi
from api.models import LatencyModel, RunLatencyModel, StepLatencyModel
from api.parameters import LatencyParameters
from api.reading import ServiceOf
from recorder.errors import BadQuery

router = APIRouter(prefix="/api/v1/latency", tags=["latency"])


@router.get(
    "",
    summary="Measure latency",
    description="Exact percentiles of duration, inference and overhead of completed steps, by "
    "workflow, node and app; and of whole runs by workflow. Windows go by when the run was opened.",
    response_model=LatencyModel,
    responses=openapi.answers(200, "LATENCY", BadQuery),
)
def measure(service: ServiceOf, wanted: Annotated[LatencyParameters, Query()]) -> Response:
    """The report."""
    query = wanted.to_query()
    report = service.latency(query)
    return answers.json(
        LatencyModel(
            by=list(query.by),
            steps=[StepLatencyModel.model_validate(row) for row in report.steps],
            runs=[RunLatencyModel.model_validate(row) for row in report.runs],
            as_of_position=report.as_of_position,
        )
    )
