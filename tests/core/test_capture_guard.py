"""A tap never fails its caller, and leaves no run behind that seems to go on."""

from __future__ import annotations

from typing import Any

from recorder.bootstrap import Recorder
from recorder.capture import Call, Capture, Host, endpoint_of
from recorder.recording import Recording
from tests.builders import WORKFLOW, submit
from tests.trust.outage.test_fail_open import raises


class FailingOnce:
    """A recording of which one method fails."""

    def __init__(self, recording: Recording, method: str) -> None:
        self._recording = recording
        self._method = method

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._method = ""
            return lambda *_: raises(RuntimeError("a bug"))()
        return getattr(self._recording, name)


def call(method: str, path: str) -> Call:
    host: Host = "queue" if "/requests/" in path else "run"
    return Call(method, f"https://fal.run{path}", endpoint_of(method, path, host))


def test_a_run_whose_recording_fails_on_the_way_is_closed_with_what_there_is(
    sqlite_rec: Recorder,
) -> None:
    def start() -> Any:
        return FailingOnce(sqlite_rec.new_recording(), "take")

    tap = Capture(start, "proxy").begin(call("POST", f"/{WORKFLOW}/stream"))
    tap.answered(200, [("x-fal-request-id", "run-1"), ("content-type", "text/event-stream")])
    tap.feed(submit("a"))
    tap.feed(submit("b"))
    tap.ended()
    run = sqlite_rec.run("run-1")
    assert (run.status, run.close_reason, run.error and run.error.message) == (
        "interrupted",
        "error",
        "the recorder failed",
    )


def test_stopping_does_not_fail_with_a_queued_run_that_cannot_be_closed(
    sqlite_rec: Recorder,
) -> None:
    def start() -> Any:
        return FailingOnce(sqlite_rec.new_recording(), "close")

    capture = Capture(start, "proxy")
    tap = capture.begin(call("GET", f"/{WORKFLOW}/requests/run-1/status"))
    tap.answered(200, [])
    tap.feed(b'{"status": "IN_QUEUE"}')
    tap.ended()
    capture.close()
    assert sqlite_rec.run("run-1").status == "running"
