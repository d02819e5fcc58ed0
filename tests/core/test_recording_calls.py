"""What a recording is called, when its stamps are taken, and calls in the wrong order."""

from __future__ import annotations

import uuid

import pytest

from recorder.bootstrap import Recorder
from recorder.events import Closed, Submit
from recorder.recording import Recording, new_request_id
from tests.builders import completion, opened, output, submit
from tests.clocks import NOVEMBER_2023_US, ManualClock
from tests.core.test_recording import ITEMS, started

DAY_US = 24 * 3600 * 1_000_000


class TestTheOrderOfCalls:
    def test_closing_is_idempotent_and_the_first_reason_stays(self, sqlite_rec: Recorder) -> None:
        recording = started(sqlite_rec)
        recording.close("cut", "first")
        recording.close("eof", "second")
        assert recording.wait().position == 2
        assert [logged.event for logged in sqlite_rec.events("run-1")][1:] == [
            Closed(reason="cut", detail="first")
        ]

    def test_what_is_fed_after_closing_is_not_taken(self, sqlite_rec: Recorder) -> None:
        recording = started(sqlite_rec)
        recording.close("eof")
        assert recording.feed(output()) == []
        recording.take(output())
        recording.take_event(ITEMS[0])
        assert recording.wait().position == 2
        assert (recording.fault, sqlite_rec.run("run-1").events) == (None, 2)

    def test_what_is_fed_before_opening_is_read_and_not_recorded(
        self, sqlite_rec: Recorder
    ) -> None:
        recording = Recording(sqlite_rec.writer, clock=ManualClock())
        assert recording.feed(submit("a", app_id=None)) == [Submit("a")]
        recording.close("eof")
        assert str(recording.fault) == "the recording is not open"
        assert recording.refused is recording.fault
        assert sqlite_rec.writer.flush(timeout_s=10)
        assert sqlite_rec.log.head().position == 0

    def test_opening_twice_is_noted_and_the_first_stays(self, sqlite_rec: Recorder) -> None:
        recording = started(sqlite_rec)
        recording.open(opened("run-2"))
        recording.feed(output())
        recording.close("eof")
        assert recording.wait().position == 3
        assert str(recording.fault) == "the recording is open already"
        assert recording.refused is None
        assert (recording.request_id, sqlite_rec.run("run-1").status) == ("run-1", "completed")

    def test_waiting_before_anything_was_recorded_is_an_error(self, sqlite_rec: Recorder) -> None:
        with pytest.raises(RuntimeError, match="nothing was recorded"):
            Recording(sqlite_rec.writer, clock=ManualClock()).wait()


class TestTheRequestId:
    def test_is_the_one_that_upstream_gave(self, sqlite_rec: Recorder) -> None:
        assert started(sqlite_rec, upstream_request_id="given").request_id == "given"

    @pytest.mark.parametrize("given", [None, ""])
    def test_is_one_of_ours_where_upstream_gave_none(
        self, sqlite_rec: Recorder, given: str | None
    ) -> None:
        recording = started(sqlite_rec, upstream_request_id=given, status=None)
        recording.close("eof")
        recording.wait()
        assert recording.request_id is not None
        assert uuid.UUID(recording.request_id).version == 7
        assert sqlite_rec.run(recording.request_id).anomalies == {}

    def test_is_a_digest_where_no_column_can_hold_it(self, sqlite_rec: Recorder) -> None:
        given = "r" * 600
        recording = started(sqlite_rec, upstream_request_id=given)
        recording.close("eof")
        recording.wait()
        assert recording.request_id is not None
        assert recording.request_id.startswith("sha256:")
        assert sqlite_rec.run(given).request_id == recording.request_id
        assert sqlite_rec.run(given).anomalies == {}

    def test_that_is_used_already_gets_a_suffix_and_is_counted(self, sqlite_rec: Recorder) -> None:
        for _ in range(3):
            recording = started(sqlite_rec)
            recording.feed(output())
            recording.close("eof")
            recording.wait()
        assert recording.request_id == "run-1~3"
        assert [run.request_id for run in sqlite_rec.runs().runs] == ["run-1~3", "run-1~2", "run-1"]
        assert [run.anomalies for run in sqlite_rec.runs().runs] == [
            {"reused_request_id": 1},
            {"reused_request_id": 1},
            {},
        ]

    def test_of_ours_is_a_uuid_of_version_7_that_sorts_by_time(self) -> None:
        clock = ManualClock()
        ids = []
        for _ in range(50):
            ids.append(new_request_id(clock))
            clock.advance(1_000)
        parsed = [uuid.UUID(each) for each in ids]
        assert ids == sorted(ids)
        assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
        assert [each.int >> 80 for each in parsed] == [
            NOVEMBER_2023_US // 1_000 + number for number in range(50)
        ]

    def test_of_ours_differs_within_a_millisecond(self) -> None:
        clock = ManualClock()
        assert len({new_request_id(clock) for _ in range(1_000)}) == 1_000


class TestTheStamps:
    def test_come_from_the_clocks_given(self, sqlite_rec: Recorder) -> None:
        clock = ManualClock(monotonic_us=5_000)
        recording = Recording(sqlite_rec.writer, clock=clock)
        clock.advance(250)
        recording.open(opened("run-1"))
        clock.advance(1_000)
        recording.feed(submit("a") + completion("a")[:5])
        clock.advance(2_000)
        recording.feed(completion("a")[5:])
        recording.close("eof")
        assert [
            (logged.seq, logged.type, logged.received_at - NOVEMBER_2023_US, logged.elapsed_us)
            for logged in sqlite_rec.events("run-1")
        ] == [
            (0, "opened", 250, 250),
            (1, "submit", 1_250, 1_250),
            (2, "completion", 3_250, 3_250),
            (3, "closed", 3_250, 3_250),
        ]
        assert sqlite_rec.run("run-1").opened_at == NOVEMBER_2023_US

    def test_of_a_wall_clock_put_back_a_day_leave_durations_alone(
        self, sqlite_rec: Recorder
    ) -> None:
        clock = ManualClock()
        recording = started(sqlite_rec, clock)
        recording.feed(submit("a"))
        clock.advance(3_000)
        clock.set_wall(NOVEMBER_2023_US - DAY_US)
        recording.feed(completion("a") + output())
        clock.advance(1_000)
        recording.close("eof")
        run = sqlite_rec.run("run-1")
        assert (run.duration_us, run.steps["a", 1].duration_us) == (4_000, 3_000)
        assert (run.opened_at, run.closed_at) == (
            NOVEMBER_2023_US,
            NOVEMBER_2023_US - DAY_US + 1_000,
        )

    def test_are_those_of_the_machine_by_default(self, sqlite_rec: Recorder) -> None:
        recording = Recording(sqlite_rec.writer)
        recording.open(opened("run-1"))
        recording.close("eof")
        first, last = sqlite_rec.events("run-1")
        assert first.received_at > NOVEMBER_2023_US
        assert 0 <= first.elapsed_us <= last.elapsed_us


def test_a_stream_nobody_reads_leaves_no_run(sqlite_rec: Recorder) -> None:
    sqlite_rec.record(iter([output()]), workflow="workflows/acme/poster", request_id="unread")
    assert list(sqlite_rec.events("unread")) == []
