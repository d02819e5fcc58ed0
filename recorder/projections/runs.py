"""The fold of one run and its steps.

`fold(state, events)` is pure and total: it works on a private copy and takes any history, however
odd; what is odd is counted by name in `anomalies` (the names are listed in docs/anomalies.md). It
is linear in the events, so folding a batch costs no more than folding its events one by one, and
folding in any batches gives the same state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Literal, assert_never

import msgspec

from recorder.documents import Mode, as_bytes
from recorder.events import (
    Answer,
    Closed,
    CloseReason,
    Completion,
    Error,
    Exchange,
    Gap,
    LoggedEvent,
    Opened,
    Output,
    Submit,
    Unrecognised,
    WireEvent,
    lift,
)
from recorder.inputs import digest
from recorder.projections.outputs import NO_FACTS, Facts, read_output
from recorder.projections.queue import Queue, tell
from recorder.projections.steps import (
    MAX_BODY_CHARACTERS,
    Failure,
    Step,
    StepKey,
    StepStatus,
)

RunStatus = Literal["running", "completed", "failed", "interrupted", "cancelled"]

_PLAIN = frozenset({"", "identity"})
"""Content encodings under which a body is what it says."""

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


def evolve(run: Run, event: LoggedEvent) -> Run:
    """The state after one more event."""
    return fold(run, (event,))


def fold(run: Run, events: Iterable[LoggedEvent]) -> Run:
    """The state after more events of the same run, given in order of `seq`."""
    folding = _Folding(run)
    for event in events:
        folding.take(event)
    return folding.result()


def steps_told_of(events: Iterable[LoggedEvent]) -> Iterator[tuple[LoggedEvent, StepKey | None]]:
    """The events of a run from its first, each with the step it tells of; None for those of none."""
    folding = _Folding(new_run(""))
    for event in events:
        folding.told_of = None
        folding.take(event)
        yield event, folding.told_of


class _Folding:
    """A fold under way: a private, changing copy of a run's state."""

    def __init__(self, run: Run) -> None:
        self.told_of: StepKey | None = None
        self.request_id = run.request_id
        self.workflow = run.workflow
        self.source = run.source
        self.mode = run.mode
        self.queue = run.queue
        self.definition = run.definition
        self.input_digest = run.input_digest
        self.parent = run.parent
        self.facts = run.facts
        self.status: RunStatus = run.status
        self.opened_at = run.opened_at
        self.closed_at = run.closed_at
        self.duration_us = run.duration_us
        self.first_event_us = run.first_event_us
        self.close_reason = run.close_reason
        self.timed = run.timed
        self.events = run.events
        self.first_position = run.first_position
        self.as_of_position = run.as_of_position
        self.steps = dict(run.steps)
        self.anomalies = dict(run.anomalies)
        self.error = run.error
        self.attempts: dict[str, int] = {}
        self.by_step_request: dict[tuple[str, str], StepKey] = {}
        for step in run.steps.values():
            self._index(step)

    def result(self) -> Run:
        return Run(
            request_id=self.request_id,
            workflow=self.workflow,
            source=self.source,
            mode=self.mode,
            queue=self.queue,
            definition=self.definition,
            input_digest=self.input_digest,
            parent=self.parent,
            facts=self.facts,
            status=self.status,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
            duration_us=self.duration_us,
            first_event_us=self.first_event_us,
            close_reason=self.close_reason,
            timed=self.timed,
            events=self.events,
            first_position=self.first_position,
            as_of_position=self.as_of_position,
            steps=self.steps,
            anomalies=self.anomalies,
            error=self.error,
        )

    def take(self, logged: LoggedEvent) -> None:
        event = logged.event
        self.events += 1
        self.first_position = self.first_position or logged.position
        self.as_of_position = logged.position
        match event:
            case Opened():
                self._opened(logged, event)
            case Exchange():
                self._exchange(logged, event)
            case Gap():
                self._count("gap", event.lost_events)
            case Closed():
                self._closed(logged, event)
            case _:
                self._arrived(logged, event.anomaly)
                self._received(logged, event)

    def _received(self, logged: LoggedEvent, event: WireEvent) -> None:
        match event:
            case Submit():
                self._submit(logged)
            case Completion():
                self._completion(logged, event)
            case Output():
                self._output(event)
            case Error():
                self._error(logged, event)
            case Answer():
                self._answer(logged)
            case Unrecognised():
                pass
            case _:
                assert_never(event)

    def _elapsed_us(self, logged: LoggedEvent) -> int | None:
        return logged.elapsed_us if self.timed else None

    def _count(self, anomaly: str, times: int = 1) -> None:
        self.anomalies[anomaly] = self.anomalies.get(anomaly, 0) + times

    def _arrived(self, logged: LoggedEvent, anomaly: str | None) -> None:
        if self.first_event_us is None:
            self.first_event_us = self._elapsed_us(logged)
        if anomaly is not None:
            self._count(anomaly)
        if self.status == "completed":
            self._count("event_after_output")
        elif self.status == "failed":
            self._count("event_after_error")

    def _opened(self, logged: LoggedEvent, event: Opened) -> None:
        self.source = event.source
        self.mode = event.mode
        self.queue = Queue() if event.mode == "queue" else None
        self._began(logged, event)
        given = lift(event.upstream_request_id) or None
        if given is not None and given != self.request_id:
            self._count("reused_request_id")
        if event.response_headers.get("content-encoding", "").strip().lower() not in _PLAIN:
            self._count("encoded_body")
        if event.status is not None:
            self._check_answer(event.status, event.response_headers, given)
            if event.status >= 300:
                self.error = Failure(
                    message=f"upstream answered {event.status}", status=event.status
                )

    def _began(self, logged: LoggedEvent, event: Opened) -> None:
        """What was called, with what, and when."""
        self.workflow = lift(event.workflow) or ""
        self.definition = lift(event.definition)
        self.input_digest = digest(as_bytes(event.input, event.input_base64))
        self.parent = lift(event.parent)
        self.timed = event.timed
        self.opened_at = logged.received_at - logged.elapsed_us
        is_app = self.workflow != "" and not self.workflow.startswith("workflows/")
        if event.mode != "stream" and is_app:
            self._submit_the_only_step(logged)

    def _submit_the_only_step(self, logged: LoggedEvent) -> None:
        """An app called by itself is a run of one step, submitted when the run began."""
        self._put(
            Step(
                node_id=self.workflow,
                attempt=1,
                first_seq=logged.seq,
                app_id=self.workflow,
                step_request_id=self.request_id,
                submitted_us=0 if self.timed else None,
            )
        )

    def _check_answer(self, status: int, headers: Mapping[str, str], given: str | None) -> None:
        if given is None:
            self._count("no_request_id")
        if self.mode != "stream":
            return
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if 200 <= status < 300 and media_type != "text/event-stream":
            self._count("not_an_event_stream")

    def _submit(self, logged: LoggedEvent) -> None:
        node_id = self._node(logged)
        attempt = self.attempts.get(node_id, 0) + 1
        if attempt > 1:
            self._count("repeated_submit")
        self._put(
            Step(
                node_id=node_id,
                attempt=attempt,
                first_seq=logged.seq,
                app_id=logged.app_id,
                step_request_id=logged.step_request_id,
                submitted_us=self._elapsed_us(logged),
            )
        )

    def _completion(self, logged: LoggedEvent, event: Completion) -> None:
        step = self._step_to_finish(logged, "completion")
        if step is None:
            return
        output = read_output(event.output)
        if output.anomaly is not None:
            self._count(output.anomaly)
        self._finish(
            step, logged, "completed", inference_us=output.inference_us, facts=output.facts
        )

    def _output(self, event: Output) -> None:
        if self.status == "completed":
            self._count("repeated_output")
        else:
            self.facts = read_output(event.output).facts
        self.status = "completed"

    def _answer(self, logged: LoggedEvent) -> None:
        """A piece of a plain call's answer; that it was the last shows when the run is closed.

        An answer in several pieces tells nothing of its output: no piece is JSON by itself.
        """
        output = read_output(logged.frame)
        if output.anomaly is not None:
            self._count(output.anomaly)
        if output.facts != NO_FACTS:
            self.facts = output.facts
        step = self.steps.get((self.workflow, 1))
        if step is not None and output.inference_us is not None:
            self._put(msgspec.structs.replace(step, inference_us=output.inference_us))

    def _exchange(self, logged: LoggedEvent, event: Exchange) -> None:
        if event.opened is not None:
            self._began(logged, event.opened)
            self._take_lead(event.lead_us)
        told = tell(self.queue or Queue(), event, self._elapsed_us(logged))
        self.queue = told.queue
        if told.facts is not None and self.facts == NO_FACTS:
            self.facts = told.facts
        if told.outcome is None or self.status != "running":
            return
        self.status = told.outcome
        self.error = self.error or told.failure

    def _take_lead(self, lead_us: int) -> None:
        """A webhook came before the reply to the submit: the run was done so long after the submit."""
        if self.queue is not None and self.status != "running":
            self.queue = msgspec.structs.replace(
                self.queue, started_us=lead_us, completed_us=lead_us
            )

    def _error(self, logged: LoggedEvent, event: Error) -> None:
        failure = _failure(event)
        if self.status == "running":
            self.status = "failed"
        if self.error is None:
            self.error = failure
        if logged.node_id is None:
            self._count("error_without_node")
            return
        step = self._step_to_finish(logged, "error")
        if step is not None:
            self._finish(step, logged, "failed", failure=failure)

    def _closed(self, logged: LoggedEvent, event: Closed) -> None:
        self.closed_at = logged.received_at
        self.duration_us = self._duration_us(logged)
        self.close_reason = event.reason
        self.definition = lift(event.definition) or self.definition
        if (event.trailing or event.trailing_base64) and event.reason != "refused":
            self._count("trailing_bytes")
        # A refusal is one whatever its body holds, a stream of somebody's with an output included.
        # A client that left before the output came has cancelled the run, whatever came later.
        if self.status == "running" or event.reason == "refused" or event.left_us is not None:
            self.status = self._status_at_close(event.reason)
        if event.reason == "refused":
            # Upstream's status line came before any event, so this is the first failure.
            status = None if self.error is None else self.error.status
            self.error = Failure(
                message=event.detail or event.reason, status=status, body=_refusal(event)
            )
        elif self.error is None and event.reason not in ("eof", "client_gone"):
            self.error = Failure(message=event.detail or event.reason)
        for key, step in self.steps.items():
            if step.status == "running":
                self.steps[key] = self._ended(step)

    def _duration_us(self, logged: LoggedEvent) -> int | None:
        """To the end of the stream; of a queued run to when it was seen done, if it was."""
        if self.queue is not None and self.queue.completed_us is not None:
            return self.queue.completed_us
        return self._elapsed_us(logged)

    def _status_at_close(self, reason: CloseReason) -> RunStatus:
        if self.mode == "call" and reason == "eof":
            return "completed"
        if self.queue is not None and self.queue.cancel_requested:
            return "cancelled"
        return _status_at_close(reason)

    def _ended(self, step: Step) -> Step:
        """A step still running when the run is closed; an app called by itself ends with its run."""
        if self.mode == "stream" or self.status not in ("completed", "failed"):
            return msgspec.structs.replace(step, status="unfinished")
        return msgspec.structs.replace(
            step,
            status=self.status,
            finished_us=self.duration_us,
            inference_us=step.inference_us or (self.queue and self.queue.inference_us),
            facts=self.facts,
            error=self.error if self.status == "failed" else None,
        )

    def _step_to_finish(self, logged: LoggedEvent, what: str) -> Step | None:
        """The running step an event ends: by step request id, else the node's latest.

        A node never submitted gets a step with an unknown start; a node whose latest attempt has
        ended gets none, the event is only counted.
        """
        node_id = self._node(logged)
        latest = self.attempts.get(node_id, 0)
        if not latest:
            self._count(f"{what}_without_submit")
            return Step(
                node_id=node_id,
                attempt=1,
                first_seq=logged.seq,
                app_id=logged.app_id,
                step_request_id=logged.step_request_id,
            )
        key = self.by_step_request.get((node_id, logged.step_request_id or ""), (node_id, latest))
        step = self.steps[key]
        if step.status != "running":
            self._count(f"repeated_{what}")
            return None
        return step

    def _finish(
        self,
        step: Step,
        logged: LoggedEvent,
        status: StepStatus,
        *,
        inference_us: int | None = None,
        facts: Facts = NO_FACTS,
        failure: Failure | None = None,
    ) -> None:
        self._put(
            Step(
                node_id=step.node_id,
                attempt=step.attempt,
                first_seq=step.first_seq,
                app_id=step.app_id or logged.app_id,
                step_request_id=step.step_request_id or logged.step_request_id,
                status=status,
                submitted_us=step.submitted_us,
                finished_us=self._elapsed_us(logged),
                inference_us=inference_us,
                facts=facts,
                error=failure,
            )
        )

    def _put(self, step: Step) -> None:
        self.steps[step.node_id, step.attempt] = step
        self.told_of = (step.node_id, step.attempt)
        self._index(step)

    def _index(self, step: Step) -> None:
        key = (step.node_id, step.attempt)
        self.attempts[step.node_id] = max(step.attempt, self.attempts.get(step.node_id, 0))
        if step.step_request_id is not None:
            self.by_step_request[step.node_id, step.step_request_id] = key

    def _node(self, logged: LoggedEvent) -> str:
        if logged.node_id is None:
            self._count("no_node_id")
            return ""
        return logged.node_id


def _status_at_close(reason: CloseReason) -> RunStatus:
    match reason:
        case "client_gone":
            return "cancelled"
        case "refused":
            return "failed"
        case "eof" | "cut" | "timeout" | "recorder_lost" | "error":
            return "interrupted"
        case _:
            assert_never(reason)


def _refusal(event: Closed) -> str | None:
    body = event.trailing
    return None if body is None or len(body) > MAX_BODY_CHARACTERS else body


def _failure(event: Error) -> Failure:
    """Reads `{"status": …, "body": …}` where the error has that shape, else keeps it whole."""
    if event.error is None:
        return Failure(message=event.message)
    text = event.error.decode("utf-8", "surrogatepass")
    try:
        value = json.loads(text)
        body = json.dumps(value["body"]) if isinstance(value, dict) and "body" in value else text
    except (ValueError, RecursionError):
        value, body = None, text
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status < 1000:
        status = None
    return Failure(
        message=event.message,
        status=status,
        body=body if len(body) <= MAX_BODY_CHARACTERS else None,
    )
