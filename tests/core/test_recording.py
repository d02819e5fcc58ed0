"""Recording beside a stream: every byte kept, every stamp told, and the stream never touched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.bootstrap import Recorder
from recorder.documents import as_bytes, as_text
from recorder.errors import LogUnavailable, WriterClosed
from recorder.events import Closed, Gap, Opened, Output, Submit, encode_document
from recorder.projections.steps import Failure
from recorder.recording import Recording, body_part, record_items
from recorder.writer import LogWriter
from tests.builders import completion, frame, history, new_event, opened, output, submit
from tests.clocks import ManualClock
from tests.core.test_sse_decoder import cut_bodies
from tests.logs import WatchedLog

STREAM = [submit("a"), b": ping\r\n\r\n", completion("a") + output()[:7], output()[7:]]
ITEMS: list[Any] = [{"type": "submit", "node_id": "a"}, {"type": "output", "output": {"x": 1}}]


def recorded_body(rec: Recorder, request_id: str) -> bytes:
    """A run's body, put together from what the log has."""
    body = b""
    for logged in rec.events(request_id):
        event = logged.event
        if isinstance(event, Closed):
            body += as_bytes(event.trailing, event.trailing_base64)
        elif not isinstance(event, Opened):
            assert logged.frame is not None
            body += logged.frame
    return body


def started(rec: Recorder, clock: ManualClock | None = None, **fields: Any) -> Recording:
    """A recording of a run `run-1` or of what else it is named."""
    recording = Recording(rec.writer, clock=clock or ManualClock())
    recording.open(opened("run-1", **fields))
    return recording


class TestTheBytes:
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(cut_bodies() | st.tuples(st.binary(max_size=60), st.just([3, 20])))
    def test_of_any_body_in_any_chunks_are_in_the_log(
        self, sqlite_rec: Recorder, cut_body: tuple[bytes, list[int]]
    ) -> None:
        body, cuts = cut_body
        recording = started(sqlite_rec)
        for start, end in pairwise([0, *sorted(cuts), len(body)]):
            recording.feed(body[start:end])
        recording.close("eof")
        recording.wait()
        assert recording.request_id is not None
        assert recorded_body(sqlite_rec, recording.request_id) == body

    @pytest.mark.parametrize("rest", [b"", b"data: x", "data: é\0".encode(), b"data: \xff"])
    def test_after_the_last_frame_are_in_the_closed_event(
        self, sqlite_rec: Recorder, rest: bytes
    ) -> None:
        recording = started(sqlite_rec)
        recording.feed(output() + rest)
        recording.close("cut")
        *_, last = sqlite_rec.events("run-1")
        text, in_base64 = as_text(rest)
        assert last.event == Closed(reason="cut", trailing=text, trailing_base64=in_base64)
        assert as_bytes(text, in_base64) == rest

    def test_of_a_block_over_the_limit_are_in_the_log_and_the_next_event_is_read(
        self, sqlite_rec: Recorder
    ) -> None:
        recording = started(sqlite_rec)
        head, middle = b"data: ", b"x" * (17 * 1024 * 1024)
        tail = b'\ndata: {"type":"submit"}\n\n' + output()
        events = [
            event for chunk in (head, middle, middle, tail) for event in recording.feed(chunk)
        ]
        recording.close("eof")
        recording.wait()
        assert [event.anomaly for event in events] == ["oversize", "oversize", None]
        assert sqlite_rec.run("run-1").anomalies == {"oversize": 2}
        assert sqlite_rec.run("run-1").status == "completed"
        assert recorded_body(sqlite_rec, "run-1") == head + middle + middle + tail


class TestRecordedItems:
    def test_are_handed_on_as_they_are_and_make_a_run(self, sqlite_rec: Recorder) -> None:
        passed = list(sqlite_rec.record(iter(STREAM), workflow="w", request_id="run-1"))
        run = sqlite_rec.run("run-1")
        assert [id(item) for item in passed] == [id(item) for item in STREAM]
        assert (run.status, run.close_reason, run.workflow, run.source) == (
            "completed",
            "eof",
            "w",
            "iterator",
        )
        assert recorded_body(sqlite_rec, "run-1") == b"".join(STREAM)

    def test_may_be_events_and_are_encoded_then(self, sqlite_rec: Recorder) -> None:
        passed = list(sqlite_rec.record(ITEMS, workflow="w", request_id="run-1"))
        assert [id(item) for item in passed] == [id(item) for item in ITEMS]
        assert [logged.event for logged in sqlite_rec.events("run-1")][1:] == [
            Submit("a"),
            Output(output=b'{"x": 1}'),
            Closed(reason="eof"),
        ]

    def test_may_be_any_mapping(self, sqlite_rec: Recorder) -> None:
        items = [MappingProxyType(item) for item in ITEMS]
        assert list(sqlite_rec.record(items, workflow="w", request_id="run-1")) == items
        assert sqlite_rec.run("run-1").status == "completed"

    def test_that_cannot_be_written_as_json_go_by_unrecorded(self, sqlite_rec: Recorder) -> None:
        recording = started(sqlite_rec)
        items: list[Any] = [{"type": "submit", "extra": object()}, *ITEMS]
        assert list(record_items(iter(items), recording)) == items
        assert isinstance(recording.fault, TypeError)
        assert sqlite_rec.run("run-1").events == 4

    def test_come_one_by_one_as_they_are_asked_for(self, sqlite_rec: Recorder) -> None:
        asked: list[int] = []

        def source() -> Iterator[bytes]:
            for number in range(3):
                asked.append(number)
                yield submit(str(number))

        stream = sqlite_rec.record(source(), workflow="w")
        assert asked == []
        next(stream)
        assert asked == [0]

    def test_keep_the_request_body(self, sqlite_rec: Recorder) -> None:
        list(sqlite_rec.record([], workflow="w", request_id="text", input=b'{"a":1}'))
        list(sqlite_rec.record([], workflow="w", request_id="bytes", input=b"\xff"))
        documents = [next(sqlite_rec.events(name)).event for name in ("text", "bytes")]
        assert [
            (each.input, each.input_base64) for each in documents if isinstance(each, Opened)
        ] == [
            ('{"a":1}', None),
            (None, "/w=="),
        ]

    def test_of_a_source_that_raises_end_in_its_very_exception(self, sqlite_rec: Recorder) -> None:
        failure = ConnectionResetError("gone")

        def source() -> Iterator[bytes]:
            yield submit("a")
            raise failure

        stream = sqlite_rec.record(source(), workflow="w", request_id="run-1")
        assert next(stream) == submit("a")
        with pytest.raises(ConnectionResetError) as raised:
            next(stream)
        assert raised.value is failure
        run = sqlite_rec.run("run-1")
        assert (run.status, run.close_reason, run.error) == (
            "interrupted",
            "cut",
            Failure(message="ConnectionResetError"),
        )

    def test_left_early_make_a_cancelled_run(self, sqlite_rec: Recorder) -> None:
        stream = sqlite_rec.record(iter(STREAM), workflow="w", request_id="run-1")
        for _ in stream:
            break
        stream.close()  # type: ignore[attr-defined]
        run = sqlite_rec.run("run-1")
        assert (run.status, run.close_reason, run.error) == ("cancelled", "client_gone", None)

    def test_interrupted_from_the_keyboard_make_a_cancelled_run(self, sqlite_rec: Recorder) -> None:
        def source() -> Iterator[bytes]:
            yield submit("a")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(sqlite_rec.record(source(), workflow="w", request_id="run-1"))
        assert sqlite_rec.run("run-1").status == "cancelled"


class TestAFaultyRecorder:
    def test_whose_writer_is_closed_changes_nothing_for_the_stream(
        self, sqlite_rec: Recorder
    ) -> None:
        sqlite_rec.writer.close()
        recording = started(sqlite_rec)
        assert list(record_items(iter(STREAM), recording)) == STREAM
        assert isinstance(recording.fault, WriterClosed)
        with pytest.raises(WriterClosed):
            recording.wait()

    def test_that_is_closed_in_the_middle_changes_nothing_for_the_stream(
        self, sqlite_rec: Recorder
    ) -> None:
        recording = started(sqlite_rec)
        passed = []
        for item in record_items(iter(STREAM), recording):
            passed.append(item)
            sqlite_rec.writer.close()
        assert passed == STREAM
        assert isinstance(recording.fault, WriterClosed)

    def test_hands_on_the_exceptions_of_the_source_too(self, sqlite_rec: Recorder) -> None:
        sqlite_rec.writer.close()
        failure = OSError("gone")

        def source() -> Iterator[bytes]:
            yield submit("a")
            raise failure

        stream = record_items(source(), started(sqlite_rec))
        assert next(stream) == submit("a")
        with pytest.raises(OSError, match="gone") as raised:
            next(stream)
        assert raised.value is failure

    def test_tells_the_events_all_the_same(self, sqlite_rec: Recorder) -> None:
        sqlite_rec.writer.close()
        recording = started(sqlite_rec)
        assert recording.feed(submit("a", app_id=None)) == [Submit("a")]

    @pytest.mark.parametrize("failure", [RuntimeError("a bug"), LogUnavailable("no disk")])
    def test_that_cannot_append_lets_the_stream_pass(
        self, sqlite_rec: Recorder, failure: Exception
    ) -> None:
        log = WatchedLog(sqlite_rec.log)
        log.away = failure
        writer = LogWriter(log, pause=lambda _: None)
        recording = Recording(writer, clock=ManualClock())
        recording.open(opened("run-1"))
        assert list(record_items(iter(STREAM), recording)) == STREAM
        writer.close(timeout_s=0.01)
        with pytest.raises(type(failure)):
            recording.wait(timeout_s=10)
        assert list(sqlite_rec.events("run-1")) == []

    def test_that_cannot_begin_a_run_holds_up_nobody(self, sqlite_rec: Recorder) -> None:
        recording = started(sqlite_rec, workflow="\ud800")
        assert list(record_items(iter(STREAM), recording)) == STREAM
        assert recording.request_id is None
        assert isinstance(recording.fault, UnicodeEncodeError)
        with pytest.raises(UnicodeEncodeError):
            recording.wait()
        assert sqlite_rec.writer.flush(timeout_s=10)
        assert sqlite_rec.log.head().position == 0


def test_an_opened_event_names_the_recorder_and_never_repeats_itself(sqlite_rec: Recorder) -> None:
    documents = []
    for request_id in ("run-1", "run-2"):
        recording = Recording(sqlite_rec.writer, clock=ManualClock())
        recording.open(opened(request_id, recorder="", recording=""))
        recording.close("eof")
        documents.append(next(sqlite_rec.events(request_id)).event)
    first, second = (each for each in documents if isinstance(each, Opened))
    assert first.recorder == second.recorder != ""
    assert "" != first.recording != second.recording
    assert encode_document(first) != encode_document(second)


def test_frames_that_are_no_events_are_recorded_as_unrecognised(sqlite_rec: Recorder) -> None:
    recording = started(sqlite_rec)
    recording.feed(frame("[DONE]") + frame("{") + frame('{"type":"progress","node_id":"a"}'))
    recording.close("eof")
    assert [(logged.type, logged.node_id) for logged in sqlite_rec.events("run-1")][1:-1] == [
        ("unrecognised", None)
    ] * 3
    assert sqlite_rec.run("run-1").anomalies == {
        "done_marker": 1,
        "invalid_json": 1,
        "unknown_type": 1,
    }


def test_a_body_with_events_missing_cannot_pass_for_the_whole(sqlite_rec: Recorder) -> None:
    document = Gap(lost_events=2, lost_bytes=80, reason="no room")
    run = history("run-1", submit("a"), output())
    gap = new_event("run-1", 3, document)
    sqlite_rec.log.append([*run[:-1], gap, new_event("run-1", 4, Closed(reason="eof"))])
    opened_event, first, second, lost, end = sqlite_rec.events("run-1")
    parts = [body_part(logged) for logged in (opened_event, first, second, end)]
    assert b"".join(parts) == submit("a") + output()
    with pytest.raises(LookupError, match="seq 3 stands in for events that were lost"):
        body_part(lost)
