"""Every error as problem+json (RFC 9457), by one table.

The types are relative references; docs/api.md says what each means and what to do about it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api import errors as own
from recorder import errors

MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field or parameter."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="The parameter, or the field of the body.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """An error, in the form of RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="What kind of problem; `about:blank` where the status says all.")
    title: str = Field(description="The kind in words, the same for all problems of a type.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time.")
    instance: str = Field(description="The path that was asked for.")
    next_seq: int | None = Field(
        default=None, description="Where a sequence conflict is: the place that is free."
    )
    errors: list[FieldProblem] | None = Field(
        default=None, description="The fields that are wrong, where some are."
    )


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A type of problem.

    Attributes:
        slug: The last part of its type; None for `about:blank`.
        detail: Told instead of the error's own words, where those are the operator's business.
        retry_after_s: When to try again, where that may help.
        example: An error of this kind, for the documentation.
    """

    status: int
    slug: str | None
    title: str
    detail: str | None = None
    retry_after_s: int | None = None
    example: Exception

    @property
    def type(self) -> str:
        """The type's URI, relative to the API's root."""
        return "about:blank" if self.slug is None else f"/problems/{self.slug}"

    def problem(self, error: Exception, instance: str) -> Problem:
        """The problem an error of this kind makes."""
        fields = None
        if isinstance(error, errors.BadQuery):
            fields = [FieldProblem(field=error.field, detail=error.reason)]
        if isinstance(error, errors.SqlLimit):
            fields = [FieldProblem(field=f"limits.{error.name}", detail=f"{error.value:.15g}")]
        return Problem(
            type=self.type,
            title=self.title,
            status=self.status,
            detail=self.detail or str(error),
            instance=instance,
            next_seq=error.next_seq if isinstance(error, errors.SequenceConflict) else None,
            errors=fields,
        )


def _internal(example: Exception) -> Kind:
    return Kind(
        status=500,
        slug=None,
        title="Internal Server Error",
        detail="The recorder failed at this; its log says where.",
        example=example,
    )


def _log_unavailable(example: Exception) -> Kind:
    return Kind(
        status=503,
        slug="log-unavailable",
        title="The log is not available",
        detail="The database does not answer or cannot commit.",
        retry_after_s=5,
        example=example,
    )


KINDS: Final[dict[type[Exception], Kind]] = {
    Exception: _internal(Exception()),
    errors.RecorderError: _internal(errors.RecorderError()),
    errors.LogError: _internal(errors.LogError()),
    errors.SequenceConflict: Kind(
        status=409,
        slug="sequence-conflict",
        title="Another event stands at this place",
        example=errors.SequenceConflict("run-1", 2, next_seq=3),
    ),
    errors.RunClosed: Kind(
        status=409,
        slug="run-closed",
        title="The run is closed",
        example=errors.RunClosed("run-1", 7),
    ),
    errors.RunConflict: Kind(
        status=409,
        slug="run-conflict",
        title="Another run of this id is there",
        example=errors.RunConflict("run-1", 2, "another event stands there"),
    ),
    errors.EventRefused: _internal(errors.EventRefused()),
    errors.LogUnavailable: _log_unavailable(errors.LogUnavailable("connection refused")),
    errors.WriterClosed: _log_unavailable(errors.WriterClosed("the log writer is closed")),
    errors.SchemaError: _log_unavailable(errors.SchemaError("the database is at revision 0001")),
    errors.NotInstrumented: _internal(errors.NotInstrumented()),
    errors.RunNotFound: Kind(
        status=404,
        slug="run-not-found",
        title="No such run",
        example=errors.RunNotFound("d778bdf4-0275-47c2-9f23-16c27041cbeb"),
    ),
    errors.DefinitionNotFound: Kind(
        status=404,
        slug="definition-not-found",
        title="No such definition",
        example=errors.DefinitionNotFound("5f3c" * 16),
    ),
    errors.ProjectionFailed: Kind(
        status=503,
        slug="projection-failed",
        title="The projection has stopped",
        detail="Runs and steps are not kept up with the log; recording goes on.",
        retry_after_s=30,
        example=errors.ProjectionFailed("runs", 41, "KeyError: 'a'"),
    ),
    errors.BadQuery: Kind(
        status=422,
        slug="invalid-request",
        title="The request makes no sense",
        example=errors.BadQuery("limit", "is from 1 to 1000"),
    ),
    errors.SqlError: _internal(errors.SqlError()),
    errors.BadSql: Kind(
        status=422,
        slug="bad-sql",
        title="The query is refused",
        example=errors.BadSql('Parser Error: syntax error at or near "selec"'),
    ),
    errors.SqlLimit: Kind(
        status=422,
        slug="sql-limit",
        title="The query went beyond a limit",
        example=errors.SqlLimit("time_s", 30.0),
    ),
    errors.SqlCrashed: Kind(
        status=422,
        slug="sql-crashed",
        title="The query ended its process",
        example=errors.SqlCrashed("SIGSEGV"),
    ),
    errors.SqlCancelled: Kind(
        status=503,
        slug="sql-cancelled",
        title="The query was cancelled",
        retry_after_s=10,
        example=errors.SqlCancelled(),
    ),
    errors.TooManyQueries: Kind(
        status=429,
        slug="too-many-queries",
        title="Too many queries at the same time",
        retry_after_s=5,
        example=errors.TooManyQueries(2),
    ),
    errors.SourceError: Kind(
        status=502,
        slug="source-failed",
        title="A source of streams failed",
        example=errors.SourceError("the stream could not be read"),
    ),
    errors.BadTarget: Kind(
        status=422,
        slug="bad-target",
        title="Not a workflow id",
        example=errors.BadTarget("'sdxl-sticker' is not a workflow id (workflows/owner/name)"),
    ),
    errors.MissingKey: Kind(
        status=503,
        slug="missing-key",
        title="The recorder has no fal key",
        example=errors.MissingKey("fal wants a key: set FAL_KEY"),
    ),
    errors.NotRerunnable: Kind(
        status=409,
        slug="not-rerunnable",
        title="The run cannot be started again",
        example=errors.NotRerunnable("run-1", "its input is not recorded"),
    ),
    errors.BadRunFile: Kind(
        status=422,
        slug="bad-run-file",
        title="Not a file of portable runs",
        example=errors.BadRunFile("the file", "is no zip, or not whole"),
    ),
    errors.BadTranscript: Kind(
        status=422,
        slug="bad-transcript",
        title="Not a transcript",
        example=errors.BadTranscript("run.sse", "is empty"),
    ),
    errors.UpstreamUnreachable: Kind(
        status=502,
        slug="upstream-unreachable",
        title="The workflow's endpoint does not answer",
        example=errors.UpstreamUnreachable(
            "https://fal.run/workflows/fal-ai/sdxl-sticker/stream does not answer: timed out"
        ),
    ),
    own.ApiError: _internal(own.ApiError()),
    own.BodyTooLarge: Kind(
        status=413,
        slug="body-too-large",
        title="The request body is too large",
        example=own.BodyTooLarge(16 * 1024 * 1024),
    ),
    own.NotJson: Kind(
        status=415,
        slug="not-json",
        title="The request body is not JSON",
        example=own.NotJson(),
    ),
    own.NotZip: Kind(
        status=415,
        slug="not-zip",
        title="The request body is not a zip",
        example=own.NotZip(),
    ),
    own.NotEvents: Kind(
        status=415,
        slug="not-events",
        title="The request body is not sent as events",
        example=own.NotEvents("application/x-ndjson", "text/event-stream"),
    ),
    own.TargetRefused: Kind(
        status=400,
        slug="target-refused",
        title="The proxy does not go there",
        example=own.TargetRefused("requests to this host are not allowed"),
    ),
    own.NotAuthenticated: Kind(
        status=401,
        slug="not-authenticated",
        title="Who asks?",
        example=own.NotAuthenticated(),
    ),
    own.OriginRefused: Kind(
        status=403,
        slug="origin-refused",
        title="Pages of this origin may not use the proxy",
        example=own.OriginRefused(),
    ),
    own.HostRefused: Kind(
        status=421,
        slug="host-refused",
        title="Not a name of this recorder",
        example=own.HostRefused(),
    ),
    own.NothingRecorded: Kind(
        status=404,
        slug="nothing-recorded",
        title="No recorded run answers this",
        example=own.NothingRecorded(
            "no recorded run of workflows/fal-ai/sdxl-sticker has this input"
        ),
    ),
    own.UpgradeRefused: Kind(
        status=400,
        slug="upgrade-refused",
        title="The connection cannot be upgraded",
        example=own.UpgradeRefused(),
    ),
    own.BodyTooSlow: Kind(
        status=408,
        slug="body-too-slow",
        title="The request body took too long",
        example=own.BodyTooSlow(60.0),
    ),
    own.ClientGone: _internal(own.ClientGone()),
    # Not 502 or 504: fal's clients send the request again on those, and a run would be paid twice.
    own.UpstreamSilent: Kind(
        status=500,
        slug="upstream-silent",
        title="The request was passed on and not answered",
        example=own.UpstreamSilent("upstream did not answer in time"),
    ),
    own.ForwardingLoop: Kind(
        status=508,
        slug="forwarding-loop",
        title="The proxy would call itself",
        example=own.ForwardingLoop(),
    ),
    own.WebhookRefused: Kind(
        status=401,
        slug="webhook-refused",
        title="Not a webhook to be believed",
        example=own.WebhookRefused("its signature fits none of fal's keys"),
    ),
    own.KeysUnavailable: Kind(
        status=503,
        slug="keys-unavailable",
        title="Webhooks cannot be checked now",
        retry_after_s=60,
        example=own.KeysUnavailable(),
    ),
    own.TooManyRuns: Kind(
        status=503,
        slug="too-many-runs",
        title="Too many runs at the same time",
        retry_after_s=10,
        example=own.TooManyRuns(64),
    ),
    own.ServiceStopping: Kind(
        status=503,
        slug="stopping",
        title="The service is shutting down",
        retry_after_s=10,
        example=own.ServiceStopping(),
    ),
}
"""Kinds by error class; a class that is not here counts as its nearest base."""


def kind_of(error: Exception) -> Kind:
    """The kind of problem an error is."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """A problem as an answer."""
    return Response(
        problem.model_dump_json(exclude_none=True),
        problem.status,
        headers,
        media_type=MEDIA_TYPE,
    )


def answer(error: Exception, scope: Any) -> Response:
    """The answer to a request that ended in this error."""
    kind = kind_of(error)
    headers = {} if kind.retry_after_s is None else {"retry-after": str(kind.retry_after_s)}
    return response(kind.problem(error, instance_of(scope)), headers)


def instance_of(scope: Any) -> str:
    """The path asked for, as it was written; without the query, which may hold anything."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    return raw.partition(b"?")[0].decode("latin-1")
