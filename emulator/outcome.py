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
    """

    status: int
    body: Any

    @classmethod
    def of(cls, last: Event) -> Outcome:
        """What the last event of a run amounts to."""
        if last.get("type") == "error":
            return cls(last["error"]["status"], last["error"]["body"])
        return cls(200, last.get("output"))
