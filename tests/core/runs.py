"""Short words for hand-worked runs: what happened, and the state that is expected of it."""

from __future__ import annotations

from typing import Any

from recorder.events import Closed, LoggedEvent
from recorder.projections.runs import Run, fold, new_run
from recorder.projections.steps import Step
from tests import builders
from tests.builders import STEP_US, opened
from tests.clocks import NOVEMBER_2023_US

APP = "fal-ai/app"
OPENED = opened("run-1")
EOF = Closed(reason="eof")


def at(seq: int) -> int:
    """When the event of this seq came, in microseconds since the run began."""
    return seq * STEP_US


def history(*whats: builders.Happening) -> list[LoggedEvent]:
    """Events one after another, whatever they are."""
    return builders.logged(builders.new_event("run-1", seq, what) for seq, what in enumerate(whats))


def folded(*whats: builders.Happening) -> Run:
    """The run those events make."""
    return fold(new_run("run-1"), history(*whats))


def run(events: int, *steps: Step, **fields: Any) -> Run:
    """A run of so many events as it is expected, times of its first and last event included."""
    usual: dict[str, Any] = {
        "workflow": builders.WORKFLOW,
        "source": "http",
        "status": "completed",
        "opened_at": NOVEMBER_2023_US,
        "closed_at": NOVEMBER_2023_US + at(events - 1),
        "duration_us": at(events - 1),
        "first_event_us": at(1),
        "close_reason": "eof",
        "events": events,
        "first_position": 1,
        "as_of_position": events,
        "steps": {(step.node_id, step.attempt): step for step in steps},
    }
    return Run(request_id="run-1", **(usual | fields))


def step(node_id: str, first_seq: int, finished: int | None = None, **fields: Any) -> Step:
    """A step as it is expected: submitted by its first event, completed if it has finished."""
    usual: dict[str, Any] = {
        "attempt": 1,
        "app_id": APP,
        "status": "unfinished" if finished is None else "completed",
        "submitted_us": at(first_seq),
        "finished_us": None if finished is None else at(finished),
    }
    return Step(node_id=node_id, first_seq=first_seq, **(usual | fields))
