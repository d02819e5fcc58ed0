"""A run's state, which its events are folded into."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Literal, assert_never

import msgspec

from recorder.documents import Mode
from recorder.events import CloseReason
from recorder.projections.outputs import NO_FACTS, Facts
from recorder.projections.queue import Queue
from recorder.projections.steps import Failure, Step, StepKey

RunStatus = Literal["running", "completed", "failed", "interrupted", "cancelled"]

_PLACE = attrgetter("first_seq", "attempt")

EMPTY_STEPS: Mapping[StepKey, Step] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run's state as of the log position `as_of_position`.

    Attributes:
        request_id: The run.
        workflow: `workflows/{owner}/{name}`; "" where no `opened` event told.
        opened_at: When the request went out, microseconds since 1970 in UTC.
        closed_at: When the stream ended; None while it goes on.
        duration_us: Monotonic time from request to end; None while it goes on.
        first_event_us: Monotonic time from request to fal's first event.
        timed: Whether the stream's times are known; if not, all times but the wall clock's are None.
        events: How many events are folded in, the recorder's own included.
        first_position: The run's first event in the log; later runs have higher ones.
        steps: By node and attempt.
        anomalies: How often what was odd.
        error: The first failure of the run.
        mode: How the endpoint was called, see `recorder.documents.Opened`.
        queue: What fal's queue told of the run; None for a run that did not go through it.
        definition: Names the workflow's definition where it is known.
        input_digest: Of the input in canonical form, see `recorder.inputs`; None where unknown.
        parent: The run this one is a rerun of.
        facts: Of its first output, or of a plain call's or queued run's result.
    """

    request_id: str
    workflow: str = ""
    source: str = ""
    mode: Mode = "stream"
    status: RunStatus = "running"
    opened_at: int | None = None
    closed_at: int | None = None
    duration_us: int | None = None
    first_event_us: int | None = None
    close_reason: CloseReason | None = None
    timed: bool = True
    events: int = 0
    first_position: int = 0
    as_of_position: int = 0
    steps: Mapping[StepKey, Step] = EMPTY_STEPS
    anomalies: Mapping[str, int] = {}
    error: Failure | None = None
    queue: Queue | None = None
    definition: str | None = None
    input_digest: str | None = None
    parent: str | None = None
    facts: Facts = NO_FACTS

    def ordered_steps(self) -> list[Step]:
        """The steps in the order they came up."""
        return sorted(self.steps.values(), key=_PLACE)


def new_run(request_id: str) -> Run:
    """The state before any event."""
    return Run(request_id=request_id)


def status_at_close(reason: CloseReason) -> RunStatus:
    """What becomes of a run that was still running when its stream ended so."""
    match reason:
        case "client_gone":
            return "cancelled"
        case "refused":
            return "failed"
        case "eof" | "cut" | "timeout" | "recorder_lost" | "error":
            return "interrupted"
        case _:
            assert_never(reason)
