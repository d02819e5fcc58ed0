"""What the API takes in paths and queries. A parameter it does not know is refused."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Depends, Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from analytics.exporting import Format
from analytics.latency import DIMENSIONS, LatencyQuery
from analytics.moments import Given
from analytics.selection import Selection
from api.cursor import MAX_INTEGER
from api.examples import INSTANCE, REQUEST_ID
from api.following import EventFilter
from api.replaying import Playing
from api.times import MomentParameter
from recorder.errors import BadQuery
from recorder.events import EventType, lift
from recorder.projections.runs import RunStatus
from recorder.replay import Pace, read_speed
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


MAX_GAP_S: Final = 86_400.0
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?")


def _whole(value: object) -> object:
    """Digits and nothing else: pydantic would take `1_0`, `+1`, `1.0` and blanks around it as well."""
    if isinstance(value, str) and _DIGITS.fullmatch(value) is None:
        raise ValueError("is a whole number in digits")
    return value


def _decimal(value: object) -> object:
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is None:
        raise ValueError("is a number in digits, with a point or without")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Decimal = Annotated[float, BeforeValidator(_decimal)]


def once(request: Request) -> None:
    """Refuses what is told twice, for nobody knows which one is meant.

    Raises:
        BadQuery: A parameter or the last id is there more than once; it is named.
    """
    told = [name for name, _ in request.query_params.multi_items()]
    told += [name for name in request.headers if name == "last-event-id"]
    for name in told:
        if told.count(name) > 1:
            raise BadQuery(name[:200], "is given more than once")


RunId = Annotated[str, Depends(_run_id)]

Instance = Annotated[
    str,
    Path(
        description="The recorder's name, as `opened` events give it.",
        pattern="^[A-Za-z0-9._-]{1,100}$",
        examples=[INSTANCE],
    ),
]


class Parameters(BaseModel):
    """What all have in common: nothing but what they name is taken."""

    model_config = ConfigDict(extra="forbid")


class RunsParameters(Parameters):
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


class EventsParameters(Parameters):
    """Which events of a run."""

    after: int = Field(-1, description="Events with a `seq` above this.", ge=-1, le=MAX_INTEGER)
    limit: int = Field(200, description="Events a page; large ones make it shorter.", ge=1, le=1000)
    frames: bool = Field(False, description="Whether to add the bytes of every frame, in base64.")


class DiffParameters(Parameters):
    """Which runs to compare."""

    a: str = Field(description="The run to compare with.")
    b: str = Field(description="The run to compare.")


class IngestParameters(Parameters):
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


class LatencyParameters(Parameters):
    """What to measure, and what to tell apart."""

    workflow: str | None = Field(None, description="Exact endpoint id.")
    node: str | None = Field(None, description="Exact node id.")
    app: str | None = Field(None, description="Exact app id.")
    since: Given = Field(
        None, description="Of runs opened at or after: ISO 8601, or ago as 30m, 24h, 7d."
    )
    until: Given = Field(None, description="Of runs opened before, in the same forms.")
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


class ExportParameters(Parameters):
    """Which rows, and how; all filters have to hold."""

    format: Format = Field("parquet", description="Of the file; `arrow` is an IPC stream.")
    workflow: str | None = Field(None, description="Of this workflow; exact endpoint id.")
    node: str | None = Field(
        None, description="Steps and events of this node; runs that have such a step."
    )
    app: str | None = Field(
        None, description="Steps and events of this app; runs that have such a step."
    )
    status: RunStatus | None = Field(None, description="Of runs in this state.")
    definition: str | None = Field(None, description="Of runs of this definition, by its digest.")
    since: Given = Field(
        None, description="Of runs opened at or after: ISO 8601, or ago as 30m, 24h, 7d."
    )
    until: Given = Field(None, description="Of runs opened before, in the same forms.")

    def to_selection(self) -> Selection:
        """What is selected."""
        return Selection(
            workflow=self.workflow,
            node=self.node,
            app=self.app,
            status=self.status,
            definition=self.definition,
            since=self.since,
            until=self.until,
        )


class ReplayParameters(Parameters):
    """How to play a run."""

    speed: str = Field(
        "1",
        description="1 for the original rhythm, 2 for twice as fast, `max` for as fast as it goes.",
        max_length=32,
    )
    from_seq: Whole = Field(0, description="Begin with this event.", ge=0, le=MAX_INTEGER)
    max_gap: Decimal | None = Field(
        None, description="Cut longer waits to so many seconds.", ge=0, le=MAX_GAP_S
    )
    raw: bool = Field(False, description="The exact bytes, with status and faults.")

    def to_playing(self, last_event_id: str | None) -> Playing:
        """What is asked for.

        Raises:
            BadQuery: The speed or the last id makes no sense.
        """
        last = _last_id(last_event_id)
        gap_us = None if self.max_gap is None else round(self.max_gap * 1_000_000)
        return Playing(
            after_seq=self.from_seq - 1 if last is None else last,
            pace=Pace(read_speed(self.speed), gap_us),
            raw=self.raw,
        )


class FollowParameters(Parameters):
    """Which events of the log."""

    after: Whole | None = Field(
        None, description="Events above this position; else from now on.", ge=0, le=MAX_INTEGER
    )
    request_id: str | None = Field(None, description="Of this run.")
    type: EventType | None = Field(None, description="Of this type.")
    node: str | None = Field(None, description="Of this node.")
    app: str | None = Field(None, description="Of this app.")

    def position(self, last_event_id: str | None) -> int | None:
        """Where to begin; the last id that was received is what counts.

        Raises:
            BadQuery: It makes no sense.
        """
        last = _last_id(last_event_id)
        return self.after if last is None else last

    def to_filter(self) -> EventFilter:
        """The filter."""
        return EventFilter(lift(self.request_id), self.type, lift(self.node), lift(self.app))


def _last_id(value: str | None) -> int | None:
    if value is None or value == "":
        return None
    if _DIGITS.fullmatch(value) is None or int(value) > MAX_INTEGER:
        raise BadQuery("last-event-id", "is not the id of an event")
    return int(value)
