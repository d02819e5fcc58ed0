"""What is known of a run that went through fal's queue, folded from its exchanges.

Times are those at which a client was told, through the recorder: between two looks at the status nobody
knows. fal's own figure for the work is `inference_us` (`metrics.inference_time` of a completed status).
Queue status is IN_QUEUE, IN_PROGRESS or COMPLETED and never FAILED; that a run failed shows in its
result.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from recorder import sse
from recorder.documents import Exchange
from recorder.projections.outputs import Facts, inference_us, read_output
from recorder.projections.steps import MAX_BODY_CHARACTERS, Failure

_NO_RESULT: Final = frozenset({401, 403, 404, 408, 429})
"""Answers to the question for a result that say nothing about the run."""

_CANCELLED: Final = 499
"""What the result of a run says that was cancelled in time."""

Outcome = Literal["completed", "failed", "cancelled"]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The queue's side of a run. Times in microseconds since the run began, monotonic.

    Attributes:
        position: In the queue, as last told.
        started_us: When it was first seen at work or done.
        completed_us: When it was first seen done.
        inference_us: What fal says the work took.
        cancel_requested: Whether fal took a request to cancel it.
    """

    position: int | None = None
    started_us: int | None = None
    completed_us: int | None = None
    inference_us: int | None = None
    cancel_requested: bool = False

    @property
    def running_us(self) -> int | None:
        """From work to done, as seen."""
        if self.started_us is None or self.completed_us is None:
            return None
        return self.completed_us - self.started_us


class Told(msgspec.Struct, frozen=True):
    """What an exchange tells: the queue's state after it, and the run's outcome and output if it is that."""

    queue: Queue
    outcome: Outcome | None = None
    failure: Failure | None = None
    facts: Facts | None = None


class _Status(msgspec.Struct):
    status: Any = None
    queue_position: Any = None
    metrics: Any = None


class _Webhook(msgspec.Struct):
    status: Any = None
    error: Any = None
    payload: msgspec.Raw = msgspec.Raw()


_decode_status: Final = msgspec.json.Decoder(_Status).decode
_decode_webhook: Final = msgspec.json.Decoder(_Webhook).decode


def tell(queue: Queue, exchange: Exchange, at_us: int | None) -> Told:
    """What an exchange tells; pure and total.

    Args:
        queue: What was known before.
        exchange: The request and its answer.
        at_us: When the answer came.
    """
    if exchange.part:
        return Told(queue)
    answered = exchange.status is not None and 200 <= exchange.status < 300
    match exchange.what:
        case "submit" | "status" | "status_stream" if answered:
            return Told(_seen(queue, exchange, at_us))
        case "result":
            return _result(queue, exchange, at_us)
        case "cancel" if exchange.status == 202:
            return Told(msgspec.structs.replace(queue, cancel_requested=True))
        case "webhook":
            return _webhook(_done(queue, at_us), exchange)
        case _:
            return Told(queue)


def _seen(queue: Queue, exchange: Exchange, at_us: int | None) -> Queue:
    try:
        told = _decode_status(_payload(exchange))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return queue
    position = told.queue_position
    if isinstance(position, int) and not isinstance(position, bool) and 0 <= position < 2**31:
        queue = msgspec.structs.replace(queue, position=position)
    if told.status in ("IN_PROGRESS", "COMPLETED") and queue.started_us is None:
        queue = msgspec.structs.replace(queue, started_us=at_us)
    if told.status != "COMPLETED":
        return queue
    metrics = told.metrics if isinstance(told.metrics, dict) else {}
    took_us, _ = inference_us(metrics.get("inference_time"))
    return msgspec.structs.replace(_done(queue, at_us), inference_us=took_us or queue.inference_us)


def _payload(exchange: Exchange) -> str:
    """The JSON of a status; a status stream's stands in a frame."""
    text = exchange.body or ""
    if exchange.what != "status_stream":
        return text
    return sse.decode_data(text.encode("utf-8", "surrogatepass"), strip_bom=True) or ""


def _done(queue: Queue, at_us: int | None) -> Queue:
    if queue.completed_us is not None:
        return queue
    started_us = at_us if queue.started_us is None else queue.started_us
    if at_us is not None and started_us is not None:
        at_us = max(at_us, started_us)  # as in the fold of steps: no duration is negative
    return msgspec.structs.replace(queue, started_us=started_us, completed_us=at_us)


def _result(queue: Queue, exchange: Exchange, at_us: int | None) -> Told:
    status = exchange.status
    if status is None or status in _NO_RESULT:
        return Told(queue)
    if 200 <= status < 300:
        return Told(_done(queue, at_us), "completed", facts=_facts(exchange.body))
    if queue.completed_us is None and status != 422:
        return Told(queue)  # fal answers 400 while a run is still under way
    if status == _CANCELLED and queue.cancel_requested:
        return Told(_done(queue, at_us), "cancelled")
    failure = Failure(message=f"the result is a {status}", status=status, body=_body(exchange))
    return Told(_done(queue, at_us), "failed", failure)


def _webhook(queue: Queue, exchange: Exchange) -> Told:
    try:
        told = _decode_webhook(exchange.body or "")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Told(queue)
    if told.status == "OK":
        facts = read_output(bytes(told.payload)).facts
        return Told(queue, "completed", facts=facts)
    if told.status != "ERROR":
        return Told(queue)
    if queue.cancel_requested and told.error == f"Invalid status code: {_CANCELLED}":
        return Told(queue, "cancelled")
    message = told.error if isinstance(told.error, str) else None
    return Told(queue, "failed", Failure(message=message, body=_body(exchange)))


def _facts(body: str | None) -> Facts:
    return read_output((body or "").encode("utf-8", "surrogatepass")).facts


def _body(exchange: Exchange) -> str | None:
    body = exchange.body
    return None if body is None or len(body) > MAX_BODY_CHARACTERS else body
