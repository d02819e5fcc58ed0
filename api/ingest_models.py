"""The shapes of events that are sent in, and of what is answered to that."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.models import Model
from api.times import Moment
from recorder.errors import SequenceConflict
from recorder.events import EventType, NewEvent
from recorder.store.log import Outcome, Receipt


class EventLineModel(BaseModel):
    """An event to record, on a line of its own."""

    model_config = ConfigDict(extra="forbid")

    seq: int = Field(description="Place in the run, from 0 without holes.", ge=0)
    type: EventType = Field(
        description="`opened` for the first event of a run and only for that. Of fal's own events "
        "the type is read from the frame, whichever of them is given."
    )
    received_at: Moment = Field(description="When it was received; RFC 3339 with a zone.")
    elapsed_us: int = Field(description="Monotonic time since the run began.", ge=0)
    frame: str | None = Field(default=None, description="Its exact bytes, where they are UTF-8.")
    frame_base64: str | None = Field(default=None, description="Its exact bytes, in any case.")


class AddressedEventLineModel(EventLineModel):
    """An event to record, and the run it belongs to, on a line of its own."""

    request_id: str


class ReceiptModel(Model):
    """Where an event stands in the log, for good."""

    seq: int = Field(description="Place in the run.")
    position: int = Field(description="Place in the whole log.")
    chain: str = Field(
        description="The chain value there, in hexadecimal: proves the log unchanged up to it."
    )

    @classmethod
    def of(cls, event: NewEvent, receipt: Receipt) -> ReceiptModel:
        """The wire's shape of an event's receipt."""
        return cls(seq=event.seq, position=receipt.position, chain=receipt.chain.hex())


class ReceiptsModel(Model):
    """Receipts of all events sent, durable all."""

    request_id: str
    receipts: list[ReceiptModel] = Field(description="In the order the events came in.")
    next_seq: int | None = Field(description="The run's next place; null once it is closed.")


class OutcomeModel(Model):
    """What became of an event: its receipt, or why the log refused it."""

    position: int | None = Field(default=None, description="Place in the whole log.")
    chain: str | None = Field(default=None, description="The chain value there, in hexadecimal.")
    problem: Literal["sequence-conflict", "run-closed"] | None = Field(
        default=None, description="Why it was refused; the last part of the problem's type."
    )
    next_seq: int | None = Field(
        default=None, description="Where a sequence conflict is: the place that is free."
    )

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeModel:
        """The wire's shape of an outcome."""
        match outcome:
            case Receipt():
                return cls(position=outcome.position, chain=outcome.chain.hex())
            case SequenceConflict():
                return cls(problem="sequence-conflict", next_seq=outcome.next_seq)
            case _:
                return cls(problem="run-closed")


class OutcomesModel(Model):
    """What became of the events sent."""

    outcomes: list[OutcomeModel] = Field(description="One an event, in the order they came in.")


class SignOfLifeModel(Model):
    """A recorder's sign of life was taken."""

    instance: str
    lease_s: float = Field(
        description="How long it may be silent before its runs are closed, in seconds."
    )
