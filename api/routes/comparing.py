"""What got better or worse, and when; and the whole report."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import answers, openapi
from api.comparing_models import ChangesModel, CompareModel
from api.comparing_parameters import ChangesParameters, CompareParameters, ReportParameters
from api.reading import ServiceOf
from api.report_models import ReportModel, report_answer
from recorder.clock import SystemClock
from recorder.errors import BadQuery

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])


@router.get(
    "/compare",
    summary="Compare two sides",
    description="Two windows, definitions or cohorts: by group the change of each percentile with its "
    "confidence interval, of all values and of the failure rate, each with a verdict that is corrected "
    "for all tests of the answer, and the runs that show it. docs/reports.md names the methods.",
    response_model=CompareModel,
    responses=openapi.answers(200, "COMPARE", BadQuery),
)
def compare_sides(service: ServiceOf, wanted: Annotated[CompareParameters, Query()]) -> Response:
    """The comparison."""
    query = wanted.to_query(SystemClock().now_us())
    from analytics.comparing.compare import compare  # scipy takes a second to load

    return answers.json(CompareModel.of(service.work_out(compare, query)))


@router.get(
    "/changes",
    summary="Find changes over time",
    description="When a workflow's runs or one of its nodes became slower or faster and stayed so: the "
    "moment, percentiles before and after, and the runs that show it.",
    response_model=ChangesModel,
    responses=openapi.answers(200, "CHANGES", BadQuery),
)
def find_changes(service: ServiceOf, wanted: Annotated[ChangesParameters, Query()]) -> Response:
    """The changes."""
    from analytics.comparing.changes import changes  # scipy takes a second to load

    return answers.json(ChangesModel.of(service.work_out(changes, wanted.to_query())))


@router.get(
    "/report",
    summary="Report on a window",
    description="Throughput, percentiles, errors, where the time goes, what got better or worse, changes "
    "over time and the slowest runs, of one state of the log. As JSON, or as a document to read: "
    "`text/html` or `text/markdown`.",
    response_model=ReportModel,
    responses=openapi.answers(200, "WINDOW_REPORT", BadQuery),
)
def report(service: ServiceOf, wanted: Annotated[ReportParameters, Query()]) -> Response:
    """The report."""
    now_us = SystemClock().now_us()
    from analytics.reporting.composing import compose  # scipy takes a second to load

    ask = partial(compose, now_us=now_us)
    return report_answer(service.work_out(ask, wanted.to_query()), wanted.format)
