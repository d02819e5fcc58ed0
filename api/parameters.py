"""What the API takes in paths and queries. A parameter it does not know is refused."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from analytics.latency import DIMENSIONS, LatencyQuery
from api.cursor import MAX_INTEGER
from api.examples import INSTANCE, REQUEST_ID
from api.times import MomentParameter
from recorder.errors import BadQuery
from recorder.projections.runs import RunStatus
from recorder.store.views import MAX_PAGE, RunFilter


def _run_id(
    request_id: Annotated[
        str,
        Path(description="The run's id, percent-encoded.", examples=[REQUEST_ID]),
    ],
) -> str:
    try:
        return unquote(request_id, errors="strict")  # the route sees the path as it was written
    except UnicodeDecodeError:
        raise BadQuery("request_id", "is not UTF-8") from None


RunId = Annotated[str, Depends(_run_id)]

Instance = Annotated[
    str,
    Path(
        description="The recorder's name, as `opened` events give it.",
        pattern="^[A-Za-z0-9._-]{1,100}$",
        examples=[INSTANCE],
    ),
]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RunsParameters(_Parameters):
    """Which runs to list; all filters have to hold."""

    workflow: str | None = Field(None, description="Exact endpoint id.")
    app: str | None = Field(None, description="Runs with a step of this app.")
    status: RunStatus | None = Field(None, description="Exact status.")
    since: MomentParameter | None = Field(None, description="Opened at or after; RFC 3339.")
    until: MomentParameter | None = Field(None, description="Opened before; RFC 3339.")
    request_id: str | None = Field(None, description="The run's own id, or one of its steps'.")
    anomaly: str | None = Field(
        None, description="Runs that show this.", pattern="^[a-z][a-z0-9_]*$", max_length=100
    )
    limit: int = Field(50, description="Runs a page.", ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")

    def to_filter(self) -> RunFilter:
        """The filter of the store."""
        return RunFilter(
            workflow=self.workflow,
            app=self.app,
            status=self.status,
            since=self.since,
            until=self.until,
            any_id=self.request_id,
            anomaly=self.anomaly,
        )


class EventsParameters(_Parameters):
    """Which events of a run."""

    after: int = Field(-1, description="Events with a `seq` above this.", ge=-1, le=MAX_INTEGER)
    limit: int = Field(200, description="Events a page; large ones make it shorter.", ge=1, le=1000)
    frames: bool = Field(False, description="Whether to add the bytes of every frame, in base64.")


class IngestParameters(_Parameters):
    """What is to be known of an event stream that is sent in; lines tell it themselves."""

    workflow: str | None = Field(
        None, description="The endpoint id, where the run begins with this body. Streams only."
    )
    first_seq: int | None = Field(
        None,
        description="The `seq` of the body's first frame, by default 1; more, to go on with a run "
        "whose body broke off. Streams only.",
        ge=1,
        le=MAX_INTEGER,
    )


class LatencyParameters(_Parameters):
    """What to measure, and what to tell apart."""

    workflow: str | None = Field(None, description="Exact endpoint id.")
    node: str | None = Field(None, description="Exact node id.")
    app: str | None = Field(None, description="Exact app id.")
    since: MomentParameter | None = Field(None, description="Of runs opened at or after; RFC 3339.")
    until: MomentParameter | None = Field(None, description="Of runs opened before; RFC 3339.")
    by: str = Field(
        ",".join(DIMENSIONS),
        description="What to group steps by: any of workflow, node, app, with commas between.",
    )

    def to_query(self) -> LatencyQuery:
        """The question.

        Raises:
            BadQuery: `by` makes no sense.
        """
        return LatencyQuery(
            workflow=self.workflow,
            node=self.node,
            app=self.app,
            since=self.since,
            until=self.until,
            by=tuple(self.by.split(",")),  # type: ignore[arg-type]  # checked there
        )
