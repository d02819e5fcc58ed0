"""The shape of a whole report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import Response
from pydantic import Field

from api import answers
from api.answers import path_of_run
from api.comparing_models import ChangesModel, CompareModel
from api.models import Model, RunLatencyModel, StepLatencyModel
from api.times import Moment, rfc3339

if TYPE_CHECKING:  # they load scipy
    from analytics.reporting.composing import ErrorRow, Report, SlowRun, Timeline, Totals


class TotalsModel(Model):
    """All selected runs; durations in microseconds."""

    runs: int
    completed: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    success_rate: float | None = Field(
        description="Completed runs among those that ended but for a client that left."
    )
    p50_us: float | None = Field(description="Of the duration of completed runs.")
    p95_us: float | None
    first_at: Moment | None = Field(description="When the first was opened.")
    last_at: Moment | None

    @classmethod
    def of(cls, totals: Totals) -> TotalsModel:
        """The wire's shape of totals."""
        return cls(
            runs=totals.runs,
            completed=totals.completed,
            failed=totals.failed,
            interrupted=totals.interrupted,
            cancelled=totals.cancelled,
            running=totals.running,
            success_rate=totals.success_rate,
            p50_us=totals.p50_us,
            p95_us=totals.p95_us,
            first_at=_moment(totals.first_at_us),
            last_at=_moment(totals.last_at_us),
        )


class BucketModel(Model):
    """A bucket of the timeline."""

    at: Moment = Field(description="When it begins.")
    runs: int = Field(description="Opened in it.")
    completed: int
    failed: int = Field(description="Failed or interrupted.")
    p50_us: float | None
    p95_us: float | None


class TimelineModel(Model):
    """Runs over time, in buckets without holes."""

    bucket_s: int = Field(description="How long a bucket is, in seconds.")
    buckets: list[BucketModel]

    @classmethod
    def of(cls, timeline: Timeline) -> TimelineModel:
        """The wire's shape of a timeline."""
        buckets = [
            BucketModel(
                at=rfc3339(each.at_us),
                runs=each.runs,
                completed=each.completed,
                failed=each.failed,
                p50_us=each.p50_us,
                p95_us=each.p95_us,
            )
            for each in timeline.moments
        ]
        return cls(bucket_s=timeline.bucket_s, buckets=buckets)


class ErrorModel(Model):
    """A kind of failure, of runs or of steps: most failed steps fail their run as well."""

    of: str = Field(description="`runs` or `steps`.")
    kind: str
    app: str | None
    field: str | None
    failures: int
    share: float = Field(description="Of all runs or steps, whatever became of them.")
    runs: int
    request_id: str = Field(description="The run of the last of them.")
    href: str
    message: str | None


class NodeModel(Model):
    """A node and the time its completed steps took."""

    workflow: str
    node: str | None
    steps: int
    duration_us: int
    inference_us: int = Field(description="Of steps that tell it.")
    overhead_us: int = Field(description="Of steps that tell their inference.")
    share: float | None = Field(description="Of the durations of all completed steps.")


class SlowRunModel(Model):
    """A run that took long."""

    request_id: str
    href: str
    workflow: str
    status: str
    duration_us: int
    opened_at: Moment | None
    node: str | None = Field(description="Its longest step.")
    node_us: int | None

    @classmethod
    def of(cls, run: SlowRun) -> SlowRunModel:
        """The wire's shape of a slow run."""
        return cls(
            request_id=run.request_id,
            href=path_of_run(run.request_id),
            workflow=run.workflow,
            status=run.status,
            duration_us=run.duration_us,
            opened_at=_moment(run.opened_at_us),
            node=run.node,
            node_us=run.node_us,
        )


class ReportModel(Model):
    """Everything about a window; what is `/api/v1/latency` there is `by`, `steps` and `runs` here."""

    by: list[str]
    steps: list[StepLatencyModel]
    runs: list[RunLatencyModel]
    as_of_position: int
    since: Moment | None = Field(description="Where the window begins; null where it is open.")
    until: Moment | None
    summary: list[str] = Field(description="The report in a sentence or two.")
    totals: TotalsModel
    totals_before: TotalsModel | None = Field(description="Of the window it is compared with.")
    timeline: TimelineModel
    errors: list[ErrorModel] = Field(description="The most frequent, fifty at most.")
    nodes: list[NodeModel] = Field(description="The twenty that took the most time.")
    changes: ChangesModel
    compare: CompareModel | None
    slowest: list[SlowRunModel] = Field(description="The twenty that took longest.")

    @classmethod
    def of(cls, report: Report) -> ReportModel:
        """The wire's shape of a report."""
        from analytics.reporting.summary import summary  # loads scipy

        before, compared = report.totals_before, report.compare
        return cls(
            by=list(report.query.by),
            steps=[StepLatencyModel.model_validate(row) for row in report.latency.steps],
            runs=[RunLatencyModel.model_validate(row) for row in report.latency.runs],
            as_of_position=report.as_of_position,
            since=_moment(report.window.since),
            until=_moment(report.window.until),
            summary=summary(report),
            totals=TotalsModel.of(report.totals),
            totals_before=None if before is None else TotalsModel.of(before),
            timeline=TimelineModel.of(report.timeline),
            errors=[_error(row) for row in report.errors],
            nodes=[NodeModel.model_validate(row) for row in report.nodes],
            changes=ChangesModel.of(report.changes),
            compare=None if compared is None else CompareModel.of(compared),
            slowest=[SlowRunModel.of(row) for row in report.slowest],
        )


def _error(row: ErrorRow) -> ErrorModel:
    return ErrorModel(
        of=row.of,
        kind=row.kind,
        app=row.app,
        field=row.field,
        failures=row.failures,
        share=row.share,
        runs=row.runs,
        request_id=row.request_id,
        href=path_of_run(row.request_id),
        message=row.message,
    )


def report_answer(report: Report, form: Literal["json", "html", "md"]) -> Response:
    """A report as the answer to a request; its links lead to this service."""
    from analytics.reporting.html import as_html  # loads Jinja
    from analytics.reporting.markdown import as_markdown

    match form:
        case "html":
            return Response(as_html(report, path_of_run), media_type="text/html")
        case "md":
            return Response(as_markdown(report, path_of_run), media_type="text/markdown")
        case "json":
            return answers.json(ReportModel.of(report))


def _moment(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
