"""Runs and steps in the shape they have on the wire: the one place that makes it.

Plain dictionaries, as a page of fifty runs through pydantic takes longer than all the rest of it
(docs/performance.md). `api.models` says what the fields are.
"""

from __future__ import annotations

from typing import Any

from api.json_text import readable, value_or_text
from api.times import rfc3339
from recorder.projections.queue import Queue
from recorder.projections.runs import Run
from recorder.projections.steps import Failure, Step

Document = dict[str, Any]


def run_document(run: Run) -> Document:
    """See `RunModel`."""
    opened_at, closed_at = run.opened_at, run.closed_at
    return {
        "request_id": run.request_id,
        "workflow": run.workflow,
        "status": run.status,
        "source": run.source,
        "mode": run.mode,
        "opened_at": None if opened_at is None else rfc3339(opened_at),
        "closed_at": None if closed_at is None else rfc3339(closed_at),
        "duration_us": run.duration_us,
        "events": run.events,
        "steps": [step_document(step) for step in run.ordered_steps()],
        "anomalies": run.anomalies,
        "error": failure_document(run.error),
        "as_of_position": run.as_of_position,
        "first_event_us": run.first_event_us,
        "close_reason": run.close_reason,
        "queue": queue_document(run.queue),
        "definition": run.definition,
        "input_digest": run.input_digest,
        "parent": run.parent,
    }


def step_document(step: Step) -> Document:
    """See `StepModel`."""
    return {
        "node_id": step.node_id,
        "attempt": step.attempt,
        "app_id": step.app_id,
        "step_request_id": step.step_request_id,
        "status": step.status,
        "submitted_us": step.submitted_us,
        "finished_us": step.finished_us,
        "duration_us": step.duration_us,
        "inference_us": step.inference_us,
        "overhead_us": step.overhead_us,
        "error": failure_document(step.error),
    }


def failure_document(failure: Failure | None) -> Document | None:
    """See `FailureModel`."""
    if failure is None:
        return None
    return {
        "message": None if failure.message is None else readable(failure.message),
        "status": failure.status,
        "body": None if failure.body is None else value_or_text(failure.body),
    }


def queue_document(queue: Queue | None) -> Document | None:
    """See `QueueModel`."""
    if queue is None:
        return None
    return {
        "position": queue.position,
        "queued_us": queue.started_us,
        "running_us": queue.running_us,
        "inference_us": queue.inference_us,
        "cancel_requested": queue.cancel_requested,
    }
