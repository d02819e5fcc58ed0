"""What an emulator can be told: workflows, latency, faults and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emulator.json_text import read_json
from emulator.problems import Invalid, Problem

EVERY_APP = "*"
"""The key in ``apps`` for every app that has no entry of its own."""

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_ModelT = TypeVar("_ModelT", bound=_Model)


class FixedLatency(_Model):
    """The same time for every step."""

    kind: Literal["fixed"] = "fixed"
    seconds: Seconds


class UniformLatency(_Model):
    """Any time between the two bounds, all equally likely."""

    kind: Literal["uniform"] = "uniform"
    low_s: Seconds
    high_s: Seconds

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.low_s > self.high_s:
            raise ValueError("low_s is above high_s")
        return self


class LognormalLatency(_Model):
    """Half the steps take longer than ``median_s``; ``sigma`` widens the tail (0.3 to 1)."""

    kind: Literal["lognormal"] = "lognormal"
    median_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.5


Latency = Annotated[FixedLatency | UniformLatency | LognormalLatency, Field(discriminator="kind")]


class AppFaults(_Model):
    """How one app behaves. Latency comes on top of the real work, and before an error.

    ``error_body`` of None means fal's ``{"detail": ..}`` with a short text.
    """

    latency: Latency | None = None
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    error_status: ErrorStatus = 500
    error_body: Any = None


class StreamFaults(_Model):
    """How the connection behaves. Events are counted from 1; pings do not count.

    Attributes:
        http_status: Answer this status at once and run nothing.
        http_body: The body that goes with it; a string is sent as text, anything else as JSON.
        cut_after_events: Break the connection after so many events, without ending the body.
        cut_extra_bytes: Send so many bytes of the next event before the cut.
        stall_after_events: Send nothing, not even a ping, for ``stall_s`` after so many events.
    """

    http_status: ErrorStatus | None = None
    http_body: Any = None
    cut_after_events: Annotated[int, Field(ge=0)] | None = None
    cut_extra_bytes: Annotated[int, Field(ge=0)] = 0
    stall_after_events: Annotated[int, Field(ge=0)] | None = None
    stall_s: Seconds = 0.0


class WebhookFaults(_Model):
    """How a queued run's webhook goes wrong.

    Attributes:
        bad_signature: Sign something else than what is sent.
        age_s: Let the timestamp, signed as it should be, lie so far in the past.
        deliveries: Deliver so many times, even to a receiver that has accepted; 0 is never.
        payload_error: Say in place of the payload that it could not be written as JSON.
        overtakes: Answer the submit only after the webhook was accepted, or given up.
    """

    bad_signature: bool = False
    age_s: Seconds = 0.0
    deliveries: Annotated[int, Field(ge=0, le=10)] = 1
    payload_error: bool = False
    overtakes: bool = False


class Faults(_Model):
    """Behaviour of a run: what the header ``x-emulator-fault`` carries.

    ``apps`` is keyed by app id, or `EVERY_APP`. With a ``seed`` every latency, error and drawn seed
    repeats; without one they differ from run to run.
    """

    apps: dict[str, AppFaults] = {}
    stream: StreamFaults = StreamFaults()
    webhook: WebhookFaults = WebhookFaults()
    seed: int | None = None

    def overridden_by(self, other: Faults) -> Faults:
        """These faults, with whatever ``other`` sets in their place (apps one by one)."""
        return Faults(
            apps=self.apps | other.apps,
            stream=other.stream if "stream" in other.model_fields_set else self.stream,
            webhook=other.webhook if "webhook" in other.model_fields_set else self.webhook,
            seed=other.seed if "seed" in other.model_fields_set else self.seed,
        )

    def of_app(self, app: str) -> AppFaults:
        """The entry of the app itself, else that of every app, else no faults."""
        return self.apps.get(app) or self.apps.get(EVERY_APP) or AppFaults()


class QueueSettings(_Model):
    """The queue and the webhooks that report its runs.

    Attributes:
        runners: How many runs are in progress at once; the others wait.
        kept_results: How many ended requests can still be asked for; the oldest go first.
        kept_bytes: How long their results may be together, written as JSON.
        webhook_tries: How often a webhook is offered to a receiver that does not accept it.
        webhook_pause_s: The pause after the first try; it doubles with every further one.
        webhook_timeout_s: How long a receiver may take to answer.
        webhook_user_id: The account webhooks are sent for.
        webhook_key_seed: 32 bytes in hexadecimal from which the signing key is made; without them
            every start makes a new one.
    """

    runners: Annotated[int, Field(ge=1)] = 2
    kept_results: Annotated[int, Field(ge=1)] = 1000
    kept_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    webhook_tries: Annotated[int, Field(ge=1, le=10)] = 3
    webhook_pause_s: Seconds = 0.5
    webhook_timeout_s: Annotated[Seconds, Field(gt=0)] = 15.0
    webhook_user_id: Annotated[str, Field(pattern=r"^[!-~]+$")] = "emulator"
    webhook_key_seed: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None


class EmulatorSettings(_Model):
    r"""All options of an emulator.

    Attributes:
        workflows_dir: A folder of definitions, offered beside the shipped ones.
        workflows: More definitions by id (``owner/name``); they win over files.
        apps, stream, webhook, seed: As in `Faults`, for every run.
        queue: The queue.
        queue_only: Be fal's queue host: serve the queue at the root, and no plain calls or streams.
        require_key: Refuse calls without a key (true), or without one of these keys.
        ping_interval_s: Time between two keep-alive comments.
        max_body_bytes: Longer request bodies are answered with 413.
        media_bytes: How much produced media is kept; the least recently used goes first.
        ensure_ascii: Write non-ASCII text as ``\uXXXX`` (Python's default) or as UTF-8.
    """

    workflows_dir: Path | None = None
    workflows: dict[str, Any] = {}
    apps: dict[str, AppFaults] = {}
    stream: StreamFaults = StreamFaults()
    webhook: WebhookFaults = WebhookFaults()
    seed: int | None = None
    queue: QueueSettings = QueueSettings()
    queue_only: bool = False
    require_key: bool | tuple[str, ...] = False
    ping_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 15.0
    max_body_bytes: Annotated[int, Field(gt=0)] = 16 * 1024 * 1024
    media_bytes: Annotated[int, Field(gt=0)] = 256 * 1024 * 1024
    ensure_ascii: bool = True

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read settings from a JSON file with these field names.

        Raises:
            OSError: the file cannot be read.
            Invalid: it is no JSON, or a field is unknown or has a wrong value.
        """
        return _validated(cls, path.read_bytes())

    @property
    def faults(self) -> Faults:
        """What applies to a run whose request says nothing."""
        return Faults(apps=self.apps, stream=self.stream, webhook=self.webhook, seed=self.seed)

    @property
    def queue_path(self) -> str:
        """What goes before the paths of the queue."""
        return "" if self.queue_only else "/queue"


def read_faults(raw: bytes) -> Faults:
    """Faults from the JSON of the header ``x-emulator-fault``.

    Raises:
        Invalid: it is no JSON, or a field is unknown or has a wrong value.
    """
    return _validated(Faults, raw)


def _validated(model: type[_ModelT], raw: bytes) -> _ModelT:
    document = read_json(raw)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Invalid(
            Problem(entry["loc"], entry["msg"], entry["type"]) for entry in error.errors()
        ) from None
