"""A webhook and the reply to the submit it is about, in either order: one run."""

from __future__ import annotations

import json

import pytest

from recorder.bootstrap import Recorder
from recorder.capture import Call, Capture, Tap, endpoint_of
from recorder.events import Exchange
from recorder.projections.runs import Run
from recorder.recording import Recording
from recorder.store.beginnings import beginning
from tests.builders import WORKFLOW
from tests.clocks import NOVEMBER_2023_US, ManualClock
from tests.webhooks import report

INPUT = b'{"prompt": "a cute puppy"}'
SECOND_US = 1_000_000


class Queueing:
    """Submits to the queue and webhooks of it, a second between any two."""

    def __init__(self, rec: Recorder) -> None:
        self.rec = rec
        self.clock = ManualClock()
        self.capture = Capture(lambda: Recording(rec.writer, clock=self.clock), "proxy")

    def submit(self, body: bytes = INPUT) -> Tap:
        """A submit that goes out; nothing has come back yet."""
        self.clock.advance(SECOND_US)
        url = f"https://queue.fal.run/{WORKFLOW}?fal_webhook=https%3A%2F%2Frecorder.example"
        endpoint = endpoint_of("POST", f"/{WORKFLOW}", "queue")
        return self.capture.begin(Call("POST", url, endpoint, body=body))

    def reply(self, tap: Tap, request_id: str = "run-1", status: int = 200) -> None:
        """What comes back of it."""
        self.clock.advance(SECOND_US)
        tap.answered(status, [("x-fal-request-id", request_id)])
        tap.feed(json.dumps({"status": "IN_QUEUE", "request_id": request_id}).encode())
        tap.ended()

    def webhook(self, request_id: str = "run-1", **told: str) -> None:
        self.clock.advance(SECOND_US)
        self.capture.webhook(request_id, report(request_id, **told), [])

    def run(self, request_id: str = "run-1") -> Run:
        return self.rec.run(request_id)

    def told(self, request_id: str = "run-1") -> list[str]:
        """The exchanges of a run, in order."""
        events = [logged.event for logged in self.rec.events(request_id)]
        return [event.what for event in events if isinstance(event, Exchange)]

    def runs(self) -> dict[str, tuple[str, str]]:
        return {run.request_id: (run.workflow, run.status) for run in self.rec.runs().runs}


@pytest.fixture
def queueing(rec: Recorder) -> Queueing:
    return Queueing(rec)


@pytest.mark.parametrize("webhook_first", [False, True])
def test_in_either_order_they_are_one_run_with_the_same_times(
    queueing: Queueing, webhook_first: bool
) -> None:
    tap = queueing.submit()
    if webhook_first:
        queueing.webhook()
        assert queueing.runs() == {"run-1": ("", "completed")}
        assert queueing.run().closed_at is None
        queueing.reply(tap)
        duration_us = SECOND_US
    else:
        queueing.reply(tap)
        queueing.webhook()
        duration_us = 2 * SECOND_US
    assert queueing.runs() == {"run-1": (WORKFLOW, "completed")}
    run = queueing.run()
    assert (run.opened_at, run.duration_us, run.close_reason, run.timed) == (
        NOVEMBER_2023_US + SECOND_US,
        duration_us,
        "eof",
        True,
    )
    assert run.queue is not None
    assert (run.queue.started_us, run.queue.completed_us) == (duration_us, duration_us)
    assert run.anomalies == {}
    assert sorted(queueing.told()) == ["submit", "webhook"]


def test_the_input_of_a_run_whose_webhook_came_first_is_known(queueing: Queueing) -> None:
    ordinary, early = queueing.submit(), queueing.submit()
    queueing.reply(ordinary, "ordinary")
    queueing.webhook()
    queueing.reply(early)
    assert queueing.run().input_digest == queueing.run("ordinary").input_digest is not None
    again = queueing.rec.again("run-1", {})
    assert (again.workflow, again.body) == (WORKFLOW, INPUT)
    began = beginning(queueing.rec.log, "run-1")
    assert began is not None
    assert began.url is not None
    assert began.url.startswith(f"https://queue.fal.run/{WORKFLOW}")
    assert began.upstream_request_id == "run-1"


def test_a_failure_that_is_reported_first_stays_one(queueing: Queueing) -> None:
    tap = queueing.submit()
    queueing.webhook(status="ERROR", error="Invalid status code: 422")
    queueing.reply(tap)
    assert queueing.runs() == {"run-1": (WORKFLOW, "failed")}
    error = queueing.run().error
    assert error is not None
    assert error.message == "Invalid status code: 422"


def test_only_the_submit_that_is_named_joins(queueing: Queueing) -> None:
    first, second = queueing.submit(b'{"n": 1}'), queueing.submit(b'{"n": 2}')
    queueing.webhook("run-2")
    queueing.reply(first, "run-1")
    assert queueing.runs() == {"run-1": (WORKFLOW, "running"), "run-2": ("", "completed")}
    queueing.reply(second, "run-2")
    assert queueing.rec.again("run-2", {}).body == b'{"n": 2}'
    assert queueing.run("run-2").closed_at is not None


def test_a_webhook_of_a_run_submitted_elsewhere_ends_it_once_no_submit_can_be_its_own(
    queueing: Queueing,
) -> None:
    taps = [queueing.submit() for _ in range(3)]
    queueing.webhook("elsewhere")
    late = queueing.submit()
    queueing.reply(taps[0])
    taps[1].unsent()
    assert queueing.run("elsewhere").closed_at is None
    taps[2].unanswered("cut", "ReadError")
    run = queueing.run("elsewhere")
    assert (run.status, run.close_reason, run.duration_us) == ("completed", "eof", None)
    queueing.reply(late, "late")


def test_a_webhook_delivered_again_while_it_is_early_is_recorded_once(queueing: Queueing) -> None:
    tap = queueing.submit()
    queueing.webhook()
    queueing.webhook()
    queueing.reply(tap)
    queueing.webhook()
    assert queueing.runs() == {"run-1": (WORKFLOW, "completed")}
    assert queueing.told() == ["webhook", "submit"]


def test_a_webhook_that_tells_no_outcome_leaves_the_run_to_go_on(queueing: Queueing) -> None:
    tap = queueing.submit()
    queueing.webhook(status="ODD")
    queueing.reply(tap)
    run = queueing.run()
    assert (run.workflow, run.status, run.closed_at) == (WORKFLOW, "running", None)
    queueing.clock.advance(SECOND_US)
    queueing.webhook()
    assert queueing.run().duration_us == 4 * SECOND_US


def test_stopping_leaves_a_run_that_is_known_to_be_done_as_one(queueing: Queueing) -> None:
    queueing.submit()
    queueing.webhook()
    queueing.capture.close()
    run = queueing.run()
    assert (run.status, run.close_reason, run.error) == ("completed", "eof", None)
