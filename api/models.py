"""The shapes of the API's answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from api.run_documents import failure_document, run_document, step_document
from api.times import Moment
from recorder.documents import Mode
from recorder.events import CloseReason, EventType
from recorder.projections.runs import Run, RunStatus
from recorder.projections.steps import Failure, Step, StepStatus

JsonValue = Annotated[Any, WithJsonSchema({})]


class Model(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class FailureModel(Model):
    """Why a step or a run failed."""

    message: str | None = Field(description="One line, as upstream put it.")
    status: int | None = Field(description="HTTP status of the failure where known.")
    body: JsonValue = Field(
        description="The body of the failure: the JSON value where it is JSON, else the text. "
        "null where there is none or it is longer than 65,536 characters."
    )

    @classmethod
    def of(cls, failure: Failure | None) -> FailureModel | None:
        """The wire's shape of a failure."""
        return None if failure is None else cls.model_validate(failure_document(failure))


class StepModel(Model):
    """A step: one submission of a node in a run. Times in microseconds since the run began."""

    node_id: str = Field(description='The node; "" where the event named none.')
    attempt: int = Field(description="1 for the node's first submission in the run.")
    app_id: str | None
    step_request_id: str | None = Field(description="fal's own id of the step.")
    status: StepStatus
    submitted_us: int | None = Field(description="null where no submit was seen.")
    finished_us: int | None = Field(description="null while running, and for unfinished steps.")
    duration_us: int | None = Field(description="From submit to finish.")
    inference_us: int | None = Field(description="What the app says it took.")
    overhead_us: int | None = Field(
        description="Duration less inference; negative where the app claims more than passed."
    )
    error: FailureModel | None

    @classmethod
    def of(cls, step: Step) -> StepModel:
        """The wire's shape of a step."""
        return cls.model_validate(step_document(step))


class QueueModel(Model):
    """What fal's queue told of a run. Times in microseconds, as seen by whoever asked."""

    position: int | None = Field(description="In the queue, as last told.")
    queued_us: int | None = Field(description="From submit until it was first seen at work.")
    running_us: int | None = Field(description="From then until it was first seen done.")
    inference_us: int | None = Field(description="What fal says the work took.")
    cancel_requested: bool = Field(description="Whether fal took a request to cancel it.")


class RunModel(Model):
    """A run with its steps, as of a position of the log."""

    request_id: str
    workflow: str = Field(description='The endpoint id; "" where nothing told it.')
    status: RunStatus
    source: str = Field(
        description="Where the bytes came from: http, proxy, sdk, ingest, iterator or transcript."
    )
    mode: Mode = Field(description="Called for the stream of its events, plainly, or queued.")
    opened_at: Moment | None = Field(description="When the request went out.")
    closed_at: Moment | None = Field(description="When the stream ended.")
    duration_us: int | None = Field(description="Monotonic time from request to end.")
    events: int = Field(description="Events of the run, the recorder's own included.")
    steps: list[StepModel] = Field(description="In the order they came up.")
    anomalies: dict[str, int] = Field(description="How often what was odd.")
    error: FailureModel | None = Field(description="The first failure of the run.")
    as_of_position: int = Field(description="Log position of the last event of the run so far.")
    first_event_us: int | None = Field(description="Monotonic time from request to first event.")
    close_reason: CloseReason | None = Field(description="Why the stream ended.")
    queue: QueueModel | None = Field(description="null for a run that was not queued.")
    definition: str | None = Field(description="Digest of the workflow's definition where known.")
    input_digest: str | None = Field(
        description="sha256 of the input in canonical form: the same for the same input."
    )
    parent: str | None = Field(description="The run this one is a rerun of.")

    @classmethod
    def of(cls, run: Run) -> RunModel:
        """The wire's shape of a run."""
        return cls.model_validate(run_document(run))


class RunPageModel(Model):
    """A page of runs, newest first."""

    runs: list[RunModel]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last.")
    as_of_position: int = Field(description="The log position this answer is derived from.")


class EventModel(Model):
    """An event as it was received."""

    position: int = Field(description="Place in the whole log.")
    seq: int = Field(description="Place in the run, from 0 without holes.")
    type: EventType
    node_id: str | None
    app_id: str | None
    step_request_id: str | None
    received_at: Moment
    elapsed_us: int = Field(description="Monotonic time since the run began.")
    payload: JsonValue = Field(
        description="What the event carries, byte for byte as received. null where that is not "
        "strict JSON, or is no longer there."
    )
    payload_text: str | None = Field(
        default=None,
        description="Only where the payload is not strict JSON: the text, with what UTF-8 cannot "
        "hold replaced.",
    )
    payload_base64: str | None = Field(
        default=None, description="Beside `payload_text`: the exact bytes."
    )
    frame_base64: str | None = Field(
        default=None,
        description="Only with `frames=true`: the bytes of the event's SSE block with the comments "
        "before it; of `opened` and `closed`, our own document.",
    )
    erased: bool = Field(default=False, description="Whether the frame has been erased.")


class EventPageModel(Model):
    """Events of a run, in order."""

    request_id: str
    events: list[EventModel]
    next_after: int | None = Field(
        description="`after` of the next page; null where no more is recorded so far."
    )


class StartModel(BaseModel):
    """A workflow to run."""

    model_config = ConfigDict(extra="forbid")

    workflow: str = Field(description="`workflows/{owner}/{name}`. Never a URL.")
    input: dict[str, Any] = Field(
        description="The workflow's input. Its JSON text is sent as it stands here, so numbers "
        "keep all their digits."
    )
    wait: bool = Field(default=False, description="Whether to answer only once the run has ended.")


class RerunModel(BaseModel):
    """A recorded run to start again."""

    model_config = ConfigDict(extra="forbid")

    set: dict[str, Any] = Field(
        default={},
        description="Fields of the input and their new values; `a.b` is the field `b` of the object "
        "`a`, `a.0` the first of a list. The rest of the input is sent as it was.",
    )
    wait: bool = Field(default=False, description="Whether to answer only once the run has ended.")


class ImportedRunModel(Model):
    """A run of an imported file."""

    request_id: str
    events: int = Field(description="How many the file has.")
    added: int = Field(description="How many of them were not in the log yet.")


class ImportsModel(Model):
    """What came of an imported file."""

    imported: list[ImportedRunModel]


class WebhookModel(Model):
    """A webhook was taken."""

    request_id: str = Field(description="The queued run it reports on.")


class MeasureModel(Model):
    """The distribution of one measure, in microseconds; exact, interpolated linearly."""

    count: int = Field(description="Values known; of none, everything else is null.")
    p50_us: float | None
    p90_us: float | None
    p95_us: float | None
    p99_us: float | None
    max_us: int | None


class StepLatencyModel(Model):
    """A group of steps; the completed ones are measured, the others counted."""

    workflow: str | None = Field(description="null where not grouped by.")
    node: str | None = Field(description="null where not grouped by.")
    app: str | None = Field(description="null where not grouped by, or where no event named one.")
    completed: int
    failed: int
    unfinished: int
    running: int
    duration: MeasureModel = Field(description="From submit to finish.")
    inference: MeasureModel = Field(description="What the app says it took.")
    overhead: MeasureModel = Field(description="Duration less inference.")


class RunLatencyModel(Model):
    """The runs of a workflow; the completed ones are measured, the others counted."""

    workflow: str
    completed: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    duration: MeasureModel = Field(description="From the request to the end of the stream.")
    first_event: MeasureModel = Field(description="From the request to fal's first event.")


class LatencyModel(Model):
    """Latency of steps by the dimensions asked for, and of runs by workflow."""

    by: list[Literal["workflow", "node", "app"]]
    steps: list[StepLatencyModel]
    runs: list[RunLatencyModel]
    as_of_position: int = Field(description="The log position this answer is derived from.")


class HealthModel(Model):
    """How far the log and what is derived from it have come; null where the log is silent."""

    status: Literal["ok"]
    log_position: int | None = Field(description="The last position of the log.")
    projection_position: int | None = Field(description="How far runs and steps have come.")
    lag_events: int | None = Field(description="The difference of the two.")
    projection_failure: str | None = Field(description="Where the projection stopped, if it did.")
    columns_position: int | None = Field(
        description="How far segments have come; null where there are none. Answers never wait for them."
    )
    columns_failure: str | None = Field(
        description="Why segments are not kept up, if they are not."
    )


class IndexModel(Model):
    """Where things are."""

    name: str
    version: str
    links: dict[str, str]
