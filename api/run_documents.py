"""Runs and steps in the shape they have on the wire: the one place that makes it.

Structs of msgspec's, which are made and written faster than dictionaries, and a page of fifty runs through
pydantic takes longer than all the rest of it (docs/performance.md). `api.models` says what the fields are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.json_text import readable, value_or_text
from api.times import rfc3339
from recorder.projections.queue import Queue
from recorder.projections.runs import Run
from recorder.projections.steps import Failure, Step

Document = dict[str, Any]


class WireStep(msgspec.Struct, gc=False):
    """See `StepModel`."""

    node_id: str
    attempt: int
    app_id: str | None
    step_request_id: str | None
    status: str
    submitted_us: int | None
    finished_us: int | None
    duration_us: int | None
    inference_us: int | None
    overhead_us: int | None
    error: Document | None


class WireRun(msgspec.Struct, gc=False):
    """See `RunModel`."""

    request_id: str
    workflow: str
    status: str
    source: str
    mode: str
    opened_at: str | None
    closed_at: str | None
    duration_us: int | None
    events: int
    steps: list[WireStep]
    anomalies: dict[str, int]
    error: Document | None
    as_of_position: int
    first_event_us: int | None
    close_reason: str | None
    queue: Document | None
    definition: str | None
    input_digest: str | None
    parent: str | None


class WirePage(msgspec.Struct, gc=False):
    """See `RunPageModel`."""

    runs: list[WireRun]
    next_cursor: str | None
    as_of_position: int


def wire_run(run: Run) -> WireRun:
    """A run as it goes into an answer."""
    opened_at, closed_at, error, queue = run.opened_at, run.closed_at, run.error, run.queue
    return WireRun(
        run.request_id,
        run.workflow,
        run.status,
        run.source,
        run.mode,
        None if opened_at is None else rfc3339(opened_at),
        None if closed_at is None else rfc3339(closed_at),
        run.duration_us,
        run.events,
        [wire_step(step) for step in run.ordered_steps()],
        dict(run.anomalies),
        None if error is None else failure_document(error),
        run.as_of_position,
        run.first_event_us,
        run.close_reason,
        None if queue is None else queue_document(queue),
        run.definition,
        run.input_digest,
        run.parent,
    )


def wire_step(step: Step) -> WireStep:
    """A step as it goes into an answer."""
    duration_us, inference_us, error = step.duration_us, step.inference_us, step.error
    return WireStep(
        step.node_id,
        step.attempt,
        step.app_id,
        step.step_request_id,
        step.status,
        step.submitted_us,
        step.finished_us,
        duration_us,
        inference_us,
        step.overhead_us,
        None if error is None else failure_document(error),
    )


def run_document(run: Run) -> Document:
    """The same as plain values."""
    wire = wire_run(run)
    return {**msgspec.structs.asdict(wire), "steps": [*map(msgspec.structs.asdict, wire.steps)]}


def step_document(step: Step) -> Document:
    """The same as plain values."""
    return msgspec.structs.asdict(wire_step(step))


def failure_document(failure: Failure) -> Document:
    """See `FailureModel`."""
    return {
        "message": None if failure.message is None else readable(failure.message),
        "status": failure.status,
        "body": None if failure.body is None else value_or_text(failure.body),
    }


def queue_document(queue: Queue) -> Document:
    """See `QueueModel`."""
    return {
        "position": queue.position,
        "queued_us": queue.started_us,
        "running_us": queue.running_us,
        "inference_us": queue.inference_us,
        "cancel_requested": queue.cancel_requested,
    }
