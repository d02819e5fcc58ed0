"""Steps: each is one submission of a node in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from recorder.projections.outputs import NO_FACTS, Facts

StepStatus = Literal["running", "completed", "failed", "unfinished"]


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why a step or a run failed.

    Attributes:
        message: One line, as upstream put it.
        status: HTTP status of the failure where known.
        body: The answer's body: JSON text where it is JSON, else as it came. None where absent or
            longer than `MAX_BODY_CHARACTERS`.
    """

    message: str | None = None
    status: int | None = None
    body: str | None = None


MAX_BODY_CHARACTERS = 65_536
"""A longer error body stays in its frame only."""


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A step's state. All times in microseconds since the run began, monotonic.

    As JSON an array, so that rows of a query are read as they are; the error has to stay the last.

    Attributes:
        node_id: The node, "" where the event named none.
        attempt: 1 for the node's first submission in the run.
        first_seq: The event that made this step; steps are shown in this order.
        submitted_us: None where no submit was seen, then `duration_us` is unknown, not zero.
        finished_us: None while running and for unfinished steps.
        inference_us: What the app says it took; None where it does not say, or says nonsense.
        facts: Of its output.
    """

    node_id: str
    attempt: int
    first_seq: int
    app_id: str | None = None
    step_request_id: str | None = None
    status: StepStatus = "running"
    submitted_us: int | None = None
    finished_us: int | None = None
    inference_us: int | None = None
    facts: Facts = NO_FACTS
    error: Failure | None = None

    @property
    def duration_us(self) -> int | None:
        """From submit to finish."""
        if self.submitted_us is None or self.finished_us is None:
            return None
        return self.finished_us - self.submitted_us

    @property
    def overhead_us(self) -> int | None:
        """Duration less inference. Negative where the app claims more than passed."""
        duration_us = self.duration_us
        if duration_us is None or self.inference_us is None:
            return None
        return duration_us - self.inference_us


StepKey = tuple[str, int]
"""`(node_id, attempt)`"""


class StepsUnderWay:
    """The steps of a run being folded, a private copy to be changed, and where each event's step is.

    Attributes:
        by_key: The steps.
        told_of: The step that was put last.
    """

    def __init__(self, steps: Mapping[StepKey, Step]) -> None:
        self.by_key: dict[StepKey, Step] = {}
        self._attempts: dict[str, int] = {}
        self._by_step_request: dict[tuple[str, str], StepKey] = {}
        for step in steps.values():
            self.put(step)
        self.told_of: StepKey | None = None

    def attempts_of(self, node_id: str) -> int:
        """How often a node was submitted."""
        return self._attempts.get(node_id, 0)

    def find(self, node_id: str, step_request_id: str | None) -> Step | None:
        """The step of a node by fal's id of it, else the node's latest; None for a node never submitted."""
        latest = self._attempts.get(node_id)
        if latest is None:
            return None
        of_request = self._by_step_request.get((node_id, step_request_id or ""))
        return self.by_key[of_request or (node_id, latest)]

    def put(self, step: Step) -> None:
        """Adds a step, or what has become of it."""
        node_id, attempt = self.told_of = key = (step.node_id, step.attempt)
        self.by_key[key] = step
        if attempt > self._attempts.get(node_id, 0):
            self._attempts[node_id] = attempt
        if step.step_request_id is not None:
            self._by_step_request[node_id, step.step_request_id] = key
