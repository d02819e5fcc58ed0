"""The fold of one run and its steps.

`fold(state, events)` is pure and total: it works on a private copy and takes any history, however
odd; what is odd is counted by name in `anomalies` (the names are listed in docs/anomalies.md). It
is linear in the events, so folding a batch costs no more than folding its events one by one, and
folding in any batches gives the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from recorder.documents import as_bytes
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
    lift,
)
from recorder.inputs import digest
from recorder.projections.failures import read_failure, refused_body
from recorder.projections.outputs import NO_FACTS, Facts, read_output
from recorder.projections.queue import Queue, tell
from recorder.projections.state import Run, RunStatus, new_run, status_at_close
from recorder.projections.steps import Failure, Step, StepKey, StepStatus, StepsUnderWay

__all__ = ["Run", "RunStatus", "evolve", "fold", "new_run", "steps_told_of"]

_PLAIN = frozenset({"", "identity"})
"""Content encodings under which a body is what it says."""

_Ways = Mapping[type, Callable[["_Folding", LoggedEvent, Any], None]]
"""How to fold in an event, by its class."""


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
        folding.steps.told_of = None
        folding.take(event)
        yield event, folding.steps.told_of


class _Folding:
    """A fold under way: a private, changing copy of a run's state."""

    def __init__(self, run: Run) -> None:
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
        self.steps = StepsUnderWay(run.steps)
        self.anomalies = dict(run.anomalies)
        self.error = run.error

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
            steps=self.steps.by_key,
            anomalies=self.anomalies,
            error=self.error,
        )

    def take(self, logged: LoggedEvent) -> None:
        event: Any = logged.event
        self.events += 1
        self.first_position = self.first_position or logged.position
        self.as_of_position = logged.position
        own = self._own.get(type(event))
        if own is not None:
            own(self, logged, event)
            return
        self._arrived(logged, event.anomaly)
        self._of_wire[type(event)](self, logged, event)

    def _elapsed_us(self, logged: LoggedEvent) -> int | None:
        return logged.elapsed_us if self.timed else None

    def _gap(self, _: LoggedEvent, event: Gap) -> None:
        self._count("gap", event.lost_events)

    def _unrecognised(self, _: LoggedEvent, event: Unrecognised) -> None:
        """Its anomaly is counted, like every event's."""

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
        self.steps.put(
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

    def _submit(self, logged: LoggedEvent, _: Submit) -> None:
        node_id = self._node(logged)
        attempt = self.steps.attempts_of(node_id) + 1
        if attempt > 1:
            self._count("repeated_submit")
        self.steps.put(
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

    def _output(self, _: LoggedEvent, event: Output) -> None:
        if self.status == "completed":
            self._count("repeated_output")
        else:
            self.facts = read_output(event.output).facts
        self.status = "completed"

    def _answer(self, logged: LoggedEvent, _: Answer) -> None:
        """A piece of a plain call's answer; that it was the last shows when the run is closed.

        An answer in several pieces tells nothing of its output: no piece is JSON by itself.
        """
        output = read_output(logged.frame)
        if output.anomaly is not None:
            self._count(output.anomaly)
        if output.facts != NO_FACTS:
            self.facts = output.facts
        step = self.steps.by_key.get((self.workflow, 1))
        if step is not None and output.inference_us is not None:
            self.steps.put(msgspec.structs.replace(step, inference_us=output.inference_us))

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
        failure = read_failure(event)
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
                message=event.detail or event.reason, status=status, body=refused_body(event)
            )
        elif self.error is None and event.reason not in ("eof", "client_gone"):
            self.error = Failure(message=event.detail or event.reason)
        for key, step in self.steps.by_key.items():
            if step.status == "running":
                self.steps.by_key[key] = self._ended(step)

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
        return status_at_close(reason)

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
        step = self.steps.find(node_id, logged.step_request_id)
        if step is None:
            self._count(f"{what}_without_submit")
            return Step(
                node_id=node_id,
                attempt=1,
                first_seq=logged.seq,
                app_id=logged.app_id,
                step_request_id=logged.step_request_id,
            )
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
        finished_us = self._elapsed_us(logged)
        if finished_us is not None and step.submitted_us is not None:
            # Whoever sends events in may have no monotonic clock; no duration is negative all the same.
            finished_us = max(finished_us, step.submitted_us)
        self.steps.put(
            msgspec.structs.replace(
                step,
                app_id=step.app_id or logged.app_id,
                step_request_id=step.step_request_id or logged.step_request_id,
                status=status,
                finished_us=finished_us,
                inference_us=inference_us,
                facts=facts,
                error=failure,
            )
        )

    def _node(self, logged: LoggedEvent) -> str:
        if logged.node_id is None:
            self._count("no_node_id")
            return ""
        return logged.node_id

    # Matching classes one after the other would take a microsecond of an event: those of msgspec have
    # a metaclass, which Python asks about each.
    _own: ClassVar[_Ways] = {
        Opened: _opened,
        Exchange: _exchange,
        Gap: _gap,
        Closed: _closed,
    }
    _of_wire: ClassVar[_Ways] = {
        Submit: _submit,
        Completion: _completion,
        Output: _output,
        Error: _error,
        Answer: _answer,
        Unrecognised: _unrecognised,
    }
