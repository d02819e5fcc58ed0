"""How a run ended, as its caller is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emulator.execution import Event


@dataclass(frozen=True)
class Outcome:
    """The answer to a run nobody streamed.

    Attributes:
        status: 200, or the failing step's status.
        body: The final output, or the failing step's body.
        error_type: fal's name for a failure that is not the workflow's own.
    """

    status: int
    body: Any
    error_type: str | None = None

    @classmethod
    def of(cls, last: Event) -> Outcome:
        """What the last event of a run amounts to."""
        if last.get("type") == "error":
            return cls(last["error"]["status"], last["error"]["body"])
        return cls(200, last.get("output"))

    @classmethod
    def failure(cls, status: int, error_type: str, detail: str) -> Outcome:
        """A failure of fal's own machinery, in the form its gateway reports them."""
        return cls(status, {"detail": detail, "error_type": error_type}, error_type)

    @property
    def error(self) -> str | None:
        """One line about a failure, in fal's words; None for a success."""
        return None if self.status == 200 else f"Invalid status code: {self.status}"


CANCELLED = Outcome.failure(499, "client_cancelled", "Request was cancelled")
RUNNER_LOST = Outcome.failure(503, "runner_disconnected", "Runner disconnected")
