"""The log writer: group commit, acknowledgement, lanes, and a database that goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from recorder.audit import verify
from recorder.errors import LogUnavailable, RunClosed, SequenceConflict, WriterClosed
from recorder.events import NewEvent
from recorder.store.engine import Database
from recorder.store.log import Receipt, SqlLog
from recorder.writer import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Lane, LogWriter
from tests.builders import (
    as_new,
    completion,
    history,
    new_event,
    one_step_run,
    opened,
    output,
    plain_run,
    submit,
)
from tests.logs import WAIT_S, WatchedLog

Sent = list[Future[list[Receipt]]]


@pytest.fixture
def watched(log: SqlLog) -> WatchedLog:
    return WatchedLog(log)


@pytest.fixture
def writer(watched: WatchedLog) -> Iterator[LogWriter]:
    writer = LogWriter(watched)
    yield writer
    watched.release()
    assert writer.close()


def send(writer: LogWriter, run: list[NewEvent], lane: Lane | None = None) -> Sent:
    """Every event in a call of its own."""
    return [writer.submit([event], lane=lane) for event in run]


def positions(sent: Sent) -> list[int]:
    return [receipt.position for each in sent for receipt in each.result(WAIT_S)]


def frames(log: SqlLog, request_id: str) -> list[bytes | None]:
    return [row.frame for row in log.read_run(request_id)]


def frames_of(run: list[NewEvent]) -> list[bytes | None]:
    return [event.frame for event in run]


def busy(writer: LogWriter, watched: WatchedLog) -> Future[list[Receipt]]:
    """Holds the writer up in a transaction, so that what is sent next queues."""
    watched.hold()
    first = writer.submit(plain_run("busy", 1))
    watched.wait_for_append()
    return first


def test_what_queues_while_a_transaction_runs_goes_in_together(
    writer: LogWriter, watched: WatchedLog
) -> None:
    first = busy(writer, watched)
    sent = [*send(writer, plain_run("a", 3)), *send(writer, plain_run("b", 2))]
    watched.release()
    assert positions([first, *sent]) == [1, 2, 3, 4, 5, 6]
    assert [len(batch) for batch in watched.batches] == [1, 5]


def test_nothing_is_acknowledged_before_its_commit(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    seen: list[tuple[int, int]] = []
    looked = threading.Event()

    def look(done: Future[list[Receipt]]) -> None:
        seen.append((done.result()[-1].position, log.head().position))
        looked.set()

    first = busy(writer, watched)
    first.add_done_callback(look)
    assert not first.done()
    assert log.head().position == 0
    watched.release()
    assert looked.wait(WAIT_S)
    assert seen == [(1, 1)]


def test_a_transaction_takes_no_more_than_its_share_of_events(
    writer: LogWriter, watched: WatchedLog
) -> None:
    first = busy(writer, watched)
    sent = send(writer, plain_run("a", 2 * MAX_BATCH_EVENTS + 5))
    watched.release()
    assert positions([first, *sent]) == list(range(1, 2 * MAX_BATCH_EVENTS + 7))
    assert [len(batch) for batch in watched.batches] == [1, MAX_BATCH_EVENTS, MAX_BATCH_EVENTS, 5]


def test_a_transaction_takes_no_more_than_its_share_of_bytes(
    writer: LogWriter, watched: WatchedLog
) -> None:
    half = bytes(MAX_BATCH_BYTES // 2)
    first = busy(writer, watched)
    sent = send(writer, [NewEvent("a", seq, "unrecognised", half, 0, 0) for seq in range(5)])
    watched.release()
    assert positions([first, *sent]) == [1, 2, 3, 4, 5, 6]
    assert [len(batch) for batch in watched.batches] == [1, 2, 2, 1]


def test_a_hundred_producers_wait_for_their_acknowledgement(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    producers = 100
    together = threading.Barrier(producers)

    def produce(number: int) -> None:
        run = one_step_run(f"run-{number}")
        together.wait(WAIT_S)
        for seq, event in enumerate(run):
            [receipt] = writer.submit([event]).result(WAIT_S)
            assert log.head().position >= receipt.position
            assert len(log.read_run(event.request_id)) == seq + 1

    with ThreadPoolExecutor(producers) as pool:
        list(pool.map(produce, range(producers)))
    assert log.head().position == 5 * producers
    assert len(watched.batches) < 5 * producers
    for number in range(producers):
        assert as_new(log.read_run(f"run-{number}")) == one_step_run(f"run-{number}")
    assert verify(log).intact


def test_what_one_producer_sends_keeps_its_order(writer: LogWriter, log: SqlLog) -> None:
    run = plain_run("a", 300)
    assert positions(send(writer, run)) == list(range(1, 301))
    assert as_new(log.read_run("a")) == run


def test_every_outcome_reaches_the_one_who_sent_it(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    log.append(one_step_run("closed"))
    first = busy(writer, watched)
    good = writer.submit(plain_run("a", 2))
    conflicting = writer.submit([new_event("a", 1, submit("other"))])
    late = writer.submit([new_event("closed", 5, submit("late"))])
    again = writer.submit(one_step_run("closed"))
    hole = writer.submit(plain_run("b", 1, first=3))
    last = writer.submit(plain_run("a", 1, first=2))
    watched.release()
    assert positions([first, good, again, last]) == [6, 7, 8, 1, 2, 3, 4, 5, 9]
    told = [each.exception(WAIT_S) for each in (conflicting, late, hole)]
    assert [(type(each), str(each)) for each in told] == [
        (SequenceConflict, "run a: seq 1 holds other bytes"),
        (RunClosed, "run closed is closed; seq 5 comes too late"),
        (SequenceConflict, "run b: seq 3 would leave a hole, next is 0"),
    ]
    assert len(watched.batches) == 2


def test_flushing_waits_for_what_was_submitted_before(
    writer: LogWriter, watched: WatchedLog
) -> None:
    assert writer.flush(timeout_s=0)
    first = busy(writer, watched)
    assert not writer.flush(timeout_s=0)
    watched.release()
    assert writer.flush(WAIT_S)
    assert first.done()


def test_a_mark_is_reached_once_what_was_sent_before_is_committed(
    writer: LogWriter, watched: WatchedLog
) -> None:
    first = busy(writer, watched)
    mark = writer.mark()
    assert not mark.cancel()  # the thread that sets it must not find it cancelled
    assert not mark.done()
    watched.release()
    assert mark.result(WAIT_S) == []
    assert first.done()
    assert writer.mark().result(WAIT_S) == []


# Lanes


def recorded(request_id: str, recording: str, *wire: bytes, closes: bool = True) -> list[NewEvent]:
    """A run as one recording would write it; two recordings never open with the same bytes."""
    document = opened(request_id, recording=recording)
    return history(request_id, *wire, document=document, reason="eof" if closes else None)


def test_a_lane_keeps_the_id_it_asks_for_where_it_is_free(writer: LogWriter, log: SqlLog) -> None:
    lane = Lane("r")
    run = recorded("r", "first", submit("a"), completion("a"), output())
    assert positions(send(writer, run, lane)) == [1, 2, 3, 4, 5]
    assert (lane.request_id, lane.opened, lane.broken) == ("r", True, None)
    assert as_new(log.read_run("r")) == run


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "still open"])
def test_an_id_used_before_gets_the_next_suffix(
    writer: LogWriter, log: SqlLog, closes: bool
) -> None:
    lanes = [Lane("r") for _ in range(4)]
    runs = [recorded("r", str(n), submit(f"of {n}"), closes=closes) for n in range(4)]
    for lane, run in zip(lanes, runs, strict=True):
        positions(send(writer, run, lane))
    assert [lane.request_id for lane in lanes] == ["r", "r~2", "r~3", "r~4"]
    for lane, run in zip(lanes, runs, strict=True):
        assert frames(log, lane.request_id) == frames_of(run)
    assert verify(log).intact


def test_lanes_that_ask_for_one_id_at_the_same_time_all_get_their_own(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    first = busy(writer, watched)
    lanes = [Lane("r") for _ in range(5)]
    runs = [recorded("r", str(n), submit(f"of {n}"), output(n)) for n in range(5)]
    sent = [each for lane, run in zip(lanes, runs, strict=True) for each in send(writer, run, lane)]
    watched.release()
    assert sorted(positions([first, *sent])) == list(range(1, 22))
    assert {lane.request_id for lane in lanes} == {"r", "r~2", "r~3", "r~4", "r~5"}
    for lane, run in zip(lanes, runs, strict=True):
        assert frames(log, lane.request_id) == frames_of(run)
    assert verify(log).intact


def test_followers_never_land_in_the_run_that_has_the_id(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    standing = recorded("r", "other", submit("a"), closes=False)
    log.append(standing)
    mine = recorded("r", "mine", submit("a"), completion("a"), output())
    lane = Lane("r")
    first = busy(writer, watched)
    sent = send(writer, mine, lane)
    watched.release()
    # The second event has the very bytes of the one that stands in the other run.
    assert positions([first, *sent]) == [3, 4, 5, 6, 7, 8]
    assert lane.request_id == "r~2"
    assert as_new(log.read_run("r")) == standing
    assert frames(log, "r~2") == frames_of(mine)


def test_an_opening_whose_answer_was_lost_is_not_taken_for_another_run(log: SqlLog) -> None:
    watched = WatchedLog(log)
    watched.late_failures = [LogUnavailable("connection lost")]
    writer = LogWriter(watched, pause=lambda _: None)
    lane = Lane("r")
    run = recorded("r", "mine", submit("a"))
    assert positions(send(writer, run, lane)) == [1, 2, 3]
    assert lane.request_id == "r"
    assert as_new(log.read_run("r")) == run
    assert writer.close()


def test_a_lane_that_cannot_open_fails_its_followers_with_the_same(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    fault = RuntimeError("a bug")
    watched.hold()
    watched.failures = [fault, fault]  # together with others, and alone
    lane = Lane("r")
    sent = send(writer, recorded("r", "mine", submit("a")), lane)
    watched.release()
    assert [each.exception(WAIT_S) for each in sent] == [fault, fault, fault]
    assert lane.broken is fault
    assert log.read() == []
    assert positions([writer.submit(plain_run("b", 1))]) == [1]


# A database that goes away, and the end


def test_an_unavailable_log_is_tried_again_with_growing_pauses(log: SqlLog) -> None:
    watched = WatchedLog(log)
    watched.failures = [LogUnavailable("away") for _ in range(10)]
    pauses: list[float] = []
    writer = LogWriter(watched, pause=pauses.append)
    assert positions(send(writer, plain_run("a", 1))) == [1]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    watched.failures = [LogUnavailable("away")]
    assert positions(send(writer, plain_run("b", 1))) == [2]
    assert pauses[10:] == [0.05]
    assert writer.close()


def test_a_commit_whose_answer_was_lost_does_no_harm(log: SqlLog) -> None:
    watched = WatchedLog(log)
    watched.late_failures = [LogUnavailable("connection lost") for _ in range(2)]
    writer = LogWriter(watched, pause=lambda _: None)
    run = one_step_run("a")
    assert positions([writer.submit(run)]) == [1, 2, 3, 4, 5]
    assert as_new(log.read()) == run
    assert writer.close()


def test_an_error_that_is_no_outage_fails_the_group_and_the_next_one_goes_in(
    writer: LogWriter, watched: WatchedLog, log: SqlLog
) -> None:
    first = busy(writer, watched)
    fault = RuntimeError("a bug")
    watched.failures = [fault, fault]  # together with others, and alone
    second = writer.submit(plain_run("a", 1))
    watched.release()
    assert first.exception(WAIT_S) is fault
    assert positions([second]) == [1]
    assert as_new(log.read()) == plain_run("a", 1)


def test_closing_commits_what_is_queued(log: SqlLog) -> None:
    watched = WatchedLog(log)
    writer = LogWriter(watched)
    first = busy(writer, watched)
    lane = Lane("r")
    run = recorded("r", "mine", submit("a"), output())
    sent = [*send(writer, plain_run("a", 3)), *send(writer, run, lane)]
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(writer.close)
        watched.release()
        assert closing.result(WAIT_S)
    assert all(each.done() for each in (first, *sent))
    assert sorted(positions([first, *sent])) == list(range(1, 9))
    assert log.head().position == 8


def test_closing_with_the_database_away_fails_what_is_left_and_returns(log: SqlLog) -> None:
    watched = WatchedLog(log)
    watched.away = LogUnavailable("nobody answers")
    writer = LogWriter(watched)
    lane = Lane("r")
    sent = [
        writer.submit(plain_run("a", 2)),
        *send(writer, recorded("r", "mine", submit("a")), lane),
        writer.submit(plain_run("b", 1)),
        writer.mark(),
    ]
    for _ in range(2):  # at the second try the first has failed
        watched.wait_for_append()
    assert not writer.close(timeout_s=0)
    assert {str(each.exception(WAIT_S)) for each in sent} == {"nobody answers"}
    assert {type(each.exception()) for each in sent} == {LogUnavailable}
    writer.close()
    assert log.read() == []


def test_followers_whose_run_never_opened_are_refused(log: SqlLog) -> None:
    writer = LogWriter(log)
    [_, follower] = recorded("r", "mine", submit("a"), closes=False)
    orphan = writer.submit([follower], lane=Lane("r"))
    assert writer.close()
    told = orphan.exception(WAIT_S)
    assert str(told) == "the run was never opened"


def test_a_closed_writer_takes_nothing_more(log: SqlLog) -> None:
    writer = LogWriter(log)
    assert writer.close()
    assert writer.close()
    with pytest.raises(WriterClosed, match=r"^the log writer is closed$"):
        writer.submit(plain_run("a", 1))
    with pytest.raises(WriterClosed, match=r"^the log writer is closed$"):
        writer.mark()


def test_writers_on_two_logs_of_one_database_keep_the_chain(database: Database) -> None:
    writers = [LogWriter(SqlLog(database)) for _ in range(2)]
    sent = [
        each
        for number in range(20)
        for each in send(writers[number % 2], one_step_run(f"run-{number}"))
    ]
    assert sorted(positions(sent)) == list(range(1, 101))
    assert all(writer.close() for writer in writers)
    assert verify(SqlLog(database)).intact


def test_how_many_events_wait_is_told_at_any_time(writer: LogWriter, watched: WatchedLog) -> None:
    assert writer.waiting == 0
    watched.hold()
    writer.submit(plain_run("r", 3))
    watched.wait_for_append()
    assert writer.waiting == 3
    writer.submit(plain_run("r", 4, first=3))
    unread = [new_event("s", seq, submit("a")) for seq in range(2)]
    writer.post_unread(lambda: unread, 9, lane=Lane("s", opened=True))
    reached = writer.mark()
    assert writer.waiting == 3 + 4 + 1
    watched.release()
    reached.result(WAIT_S)
    assert writer.waiting == 0
