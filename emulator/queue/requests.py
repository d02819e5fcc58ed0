"""A request on its way through the queue, and how its status reads."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, assert_never

from emulator.execution import Event
from emulator.outcome import Outcome
from emulator.settings import WebhookFaults

State: TypeAlias = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
Log: TypeAlias = dict[str, str]


@dataclass(eq=False)
class QueuedRequest:
    """A submitted run.

    Attributes:
        application: What was called, ``workflows/{owner}/{name}``.
        play: Begins the run and yields its events. Raises `Invalid`, with places in the body, for
            an input that does not do, and `Cut` where the run is to be lost.
        webhook_url: Where the end is reported.
        outcome: How it ended; set when it is COMPLETED, failed or not.
        inference_s: Time in progress; None until it has ended, and for what never began.
        cancelled: Somebody asked for the end of a run in progress.
        reported: Set once its webhook has been delivered for the first time, or given up.
    """

    application: str
    play: Callable[[], AsyncGenerator[Event]]
    webhook_url: str | None = None
    webhook_faults: WebhookFaults = field(default_factory=WebhookFaults)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = "IN_QUEUE"
    logs: list[Log] = field(default_factory=list)
    outcome: Outcome | None = None
    inference_s: float | None = None
    cancelled: bool = False
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    def belongs_to(self, application: str) -> bool:
        """Whether a path names this request's application, whole or shortened to its first parts."""
        return f"{self.application}/".startswith(f"{application}/")

    def urls(self, queue_url: str) -> dict[str, str]:
        """Where a client asks for it."""
        response_url = f"{queue_url}/{self.application}/requests/{self.id}"
        return {
            "response_url": response_url,
            "status_url": f"{response_url}/status",
            "cancel_url": f"{response_url}/cancel",
        }

    def note(self, event: Event) -> None:
        """Log an event of the run."""
        match event["type"]:
            case "submit":
                text = f"{event['node_id']}: submitted to {event['app_id']}"
                self._log("INFO", f"{text} as {event['request_id']}")
            case "completion":
                self._log("INFO", f"{event['node_id']}: completed")
            case "error":
                self._log("ERROR", f"{event['node_id']}: {event['message']}")
            case _:
                self._log("INFO", "the workflow is done")

    def _log(self, level: str, message: str) -> None:
        timestamp = datetime.now(UTC).isoformat()
        self.logs.append(
            {"message": message, "level": level, "source": "USER", "timestamp": timestamp}
        )

    def status(self, position: int, queue_url: str, logs: list[Log] | None) -> dict[str, Any]:
        """The status object; without logs (None) the field is there and null, as clients expect."""
        common = {"status": self.state, "request_id": self.id, **self.urls(queue_url)}
        match self.state:
            case "IN_QUEUE":
                return {**common, "queue_position": position}
            case "IN_PROGRESS":
                return {**common, "logs": logs}
            case "COMPLETED":
                metrics = {"inference_time": self.inference_s}
                return {**common, "logs": logs, "metrics": metrics, **self._failure()}
            case _:
                assert_never(self.state)

    def _failure(self) -> dict[str, str]:
        if self.outcome is None or self.outcome.error is None:
            return {}
        told = {"error": self.outcome.error}
        if self.outcome.error_type is not None:
            told["error_type"] = self.outcome.error_type
        return told
