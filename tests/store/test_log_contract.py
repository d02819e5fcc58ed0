"""What every event log promises, whatever it is kept in: places, outcomes, bytes."""

from __future__ import annotations

import pytest

from recorder.audit import verify
from recorder.errors import RunClosed, SequenceConflict
from recorder.events import MAX_LIFTED_BYTES, NewEvent, lift
from recorder.store.engine import Database
from recorder.store.log import EventLog, Head, Outcome, Receipt, SqlLog, all_events, run_events
from tests.builders import (
    as_new,
    history,
    interleaved,
    new_event,
    one_step_run,
    plain_run,
    submit,
)


def receipts(outcomes: list[Outcome]) -> list[Receipt]:
    assert all(isinstance(each, Receipt) for each in outcomes), outcomes
    return [each for each in outcomes if isinstance(each, Receipt)]


def positions(outcomes: list[Outcome]) -> list[int]:
    return [receipt.position for receipt in receipts(outcomes)]


def conflict(outcome: Outcome) -> tuple[str, int, int]:
    assert isinstance(outcome, SequenceConflict), outcome
    return outcome.request_id, outcome.seq, outcome.next_seq


def closed(outcome: Outcome) -> tuple[str, int]:
    assert isinstance(outcome, RunClosed), outcome
    return outcome.request_id, outcome.seq


def test_an_empty_log_has_a_head_before_the_first_position(log: EventLog) -> None:
    head = log.head()
    assert head == Head(head.epoch, 0, bytes(32))
    assert head.epoch
    assert log.read() == []
    assert log.read_run("none") == []


def test_positions_are_dense_from_one_in_the_order_of_appending(log: EventLog) -> None:
    events = interleaved(plain_run("a", 3), plain_run("b", 2))
    assert positions(log.append(events[:2])) == [1, 2]
    assert positions(log.append(events[2:])) == [3, 4, 5]
    read = log.read()
    assert [row.position for row in read] == [1, 2, 3, 4, 5]
    assert as_new(read) == events


def test_the_head_is_the_last_receipt(log: EventLog) -> None:
    last = receipts(log.append(one_step_run("a")))[-1]
    head = log.head()
    assert (head.position, head.chain) == (last.position, last.chain)


def test_an_empty_batch_changes_nothing(log: EventLog) -> None:
    before = log.head()
    assert log.append([]) == []
    assert log.head() == before


def test_the_same_append_twice_gives_the_same_receipts_and_adds_nothing(log: EventLog) -> None:
    run = one_step_run("a")
    first = log.append(run)
    head = log.head()
    assert log.append(run) == first
    assert log.append(run[1:3]) == first[1:3]
    assert log.head() == head
    assert as_new(log.read()) == run


def test_a_repeat_may_bring_new_events_with_it(log: EventLog) -> None:
    run = one_step_run("a")
    first = log.append(run[:2])
    assert positions(log.append(run)) == [1, 2, 3, 4, 5]
    assert log.append(run)[:2] == first


def test_a_repeat_is_told_by_its_bytes_alone(log: EventLog) -> None:
    [receipt] = log.append([new_event("a", 0, submit("x"), elapsed_us=1)])
    assert log.append([new_event("a", 0, submit("x"), elapsed_us=2)]) == [receipt]
    assert [row.elapsed_us for row in log.read()] == [1]


def test_other_bytes_at_a_place_conflict_and_the_rest_of_the_batch_goes_in(log: EventLog) -> None:
    log.append(plain_run("a", 2))
    outcomes = log.append(
        [new_event("b", 0), new_event("a", 1, submit("other")), *plain_run("a", 1, first=2)]
    )
    assert positions([outcomes[0], outcomes[2]]) == [3, 4]
    assert conflict(outcomes[1]) == ("a", 1, 2)
    assert [(row.request_id, row.seq) for row in log.read()] == [
        ("a", 0), ("a", 1), ("b", 0), ("a", 2),
    ]  # fmt: skip


def test_a_hole_is_refused_and_told_the_next_place(log: EventLog) -> None:
    log.append(plain_run("a", 2))
    [refused] = log.append(plain_run("a", 1, first=5))
    assert conflict(refused) == ("a", 5, 2)
    assert positions(log.append(plain_run("a", 1, first=2))) == [3]


def test_a_run_begins_with_its_event_number_zero(log: EventLog) -> None:
    [refused] = log.append([new_event("a", 1, submit("x"))])
    assert conflict(refused) == ("a", 1, 0)


def test_nothing_follows_the_end_of_a_run(log: EventLog) -> None:
    run = one_step_run("a")
    first = log.append(run)
    [refused] = log.append([new_event("a", 5, submit("late"))])
    assert closed(refused) == ("a", 5)
    [refused] = log.append([new_event("a", 9, submit("later"))])
    assert closed(refused) == ("a", 9)
    assert log.append(run) == first


def test_other_bytes_at_a_place_of_a_closed_run_conflict(log: EventLog) -> None:
    log.append(one_step_run("a"))
    [refused] = log.append([new_event("a", 2, submit("other"))])
    assert conflict(refused) == ("a", 2, 5)


def test_an_event_after_the_end_in_the_same_batch_is_refused(log: EventLog) -> None:
    run = one_step_run("a")
    outcomes = log.append([*run, new_event("a", 5, submit("late"))])
    assert positions(outcomes[:5]) == [1, 2, 3, 4, 5]
    assert closed(outcomes[5]) == ("a", 5)


def test_a_repeat_within_a_batch_gets_the_receipt_of_the_first(log: EventLog) -> None:
    zero, one = plain_run("a", 2)
    other = new_event("a", 0, submit("other"))
    outcomes = log.append([zero, zero, one, other, one])
    assert positions([outcomes[0], outcomes[2]]) == [1, 2]
    assert outcomes[1] == outcomes[0]
    assert outcomes[4] == outcomes[2]
    assert conflict(outcomes[3]) == ("a", 0, 2)
    assert as_new(log.read()) == [zero, one]


def test_a_batch_of_refusals_alone_leaves_the_head_where_it_is(log: EventLog) -> None:
    log.append(plain_run("a", 1))
    head = log.head()
    log.append([new_event("a", 0, submit("other")), new_event("a", 7)])
    assert log.head() == head


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"data: \x00\xff\xfe\n\n",
        "data: \ud800".encode("utf-8", "surrogatepass"),
        bytes(range(256)) * 4_096,
    ],
    ids=["empty", "nul", "not UTF-8", "surrogate", "1 MB"],
)
def test_frames_come_back_byte_for_byte(log: EventLog, frame: bytes) -> None:
    event = NewEvent("a", 0, "unrecognised", frame, 1, 2)
    log.append([event])
    assert as_new(log.read()) == [event]
    assert as_new(log.read_run("a")) == [event]
    assert verify(log).intact


@pytest.mark.parametrize(
    "given",
    ["\0", "a\0b", "\ud800", "\udfff tail", "ä" * 10_000, "x" * 513, "\U0001f600" * 257],
    ids=["nul", "nul inside", "high", "low", "long", "one too many", "too many bytes"],
)
def test_ids_no_column_can_hold_are_found_by_their_digest(log: EventLog, given: str) -> None:
    event = new_event("a", 0, submit(given, app_id=given, step=given))
    log.append([event])
    [row] = log.read()
    assert (row.node_id, row.app_id, row.step_request_id) == (lift(given),) * 3
    assert (row.node_id or "").startswith("sha256:")
    assert verify(log).intact


@pytest.mark.parametrize(
    "longest",
    [
        "x" * 512,
        "\U0001f600" * (MAX_LIFTED_BYTES // 4),
        "\U0001f600" * 512,
        "".join(chr(0x4E00 + 7 * n) for n in range(341)),
    ],
    ids=["ASCII", "four bytes each", "512 of four bytes", "incompressible"],
)
def test_ids_at_the_limit_of_lifting_fit_every_index(log: EventLog, longest: str) -> None:
    request_id = lift(longest) or ""
    run = [
        new_event(request_id, seq, submit(longest, app_id=longest, step=longest))
        for seq in range(2)
    ]
    assert positions(log.append(run)) == [1, 2]
    assert as_new(log.read_run(request_id)) == run


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_times_fill_their_columns(log: EventLog, number: int) -> None:
    event = NewEvent("a", 0, "submit", b"", number, number)
    log.append([event])
    assert as_new(log.read()) == [event]
    assert verify(log).intact


@pytest.mark.parametrize("batch_size", [1, 19, 20, 21, 250])
def test_batches_of_any_size_write_the_same_rows(log: EventLog, batch_size: int) -> None:
    odd = [
        new_event("odd", 0, submit(None, app_id=None)),
        new_event("odd", 1, submit("nö\\N\t\"'", step="\\.")),
        NewEvent("odd", 2, "unrecognised", b"\\x00\x00", 0, 0),
    ]
    events = [*odd, *plain_run("a", 247)]
    for first in range(0, len(events), batch_size):
        log.append(events[first : first + batch_size])
    read = list(all_events(log))
    assert as_new(read) == events
    assert [row.position for row in read] == list(range(1, 251))
    assert verify(log).intact


def test_reading_goes_on_after_a_position_up_to_a_limit(log: EventLog) -> None:
    log.append(interleaved(plain_run("a", 4), plain_run("b", 4)))

    def page(after: int, limit: int) -> list[int]:
        return [row.position for row in log.read(after, limit)]

    assert page(0, 3) == [1, 2, 3]
    assert page(3, 3) == [4, 5, 6]
    assert page(6, 3) == [7, 8]
    assert page(8, 3) == []
    assert page(99, 3) == []


def test_a_run_is_read_in_its_own_order_up_to_a_limit(log: EventLog) -> None:
    log.append(interleaved(plain_run("a", 4), plain_run("b", 4)))

    def page(after_seq: int, limit: int) -> list[tuple[int, int]]:
        return [(row.seq, row.position) for row in log.read_run("b", after_seq, limit)]

    assert page(-1, 3) == [(0, 2), (1, 4), (2, 6)]
    assert page(2, 3) == [(3, 8)]
    assert page(3, 3) == []


def test_readers_in_batches_hand_out_everything_once(log: EventLog) -> None:
    count = 1_100  # more than a reader's batch
    log.append(interleaved(plain_run("a", count), plain_run("b", count)))
    assert [row.position for row in all_events(log)] == list(range(1, 2 * count + 1))
    assert [row.position for row in all_events(log, 5, until=1_007)] == list(range(6, 1_008))
    assert [row.seq for row in run_events(log, "a")] == list(range(count))
    assert [row.seq for row in run_events(log, "b", after_seq=1_000)] == list(range(1_001, count))


def test_run_ids_are_told_apart_to_the_byte(log: EventLog) -> None:
    names = ["a", "A", "a ", "ä", "a\u0308", "a~2", "%", "_"]
    runs = [plain_run(name, 1) for name in names]
    assert positions(log.append(interleaved(*runs))) == list(range(1, len(names) + 1))
    for name, run in zip(names, runs, strict=True):
        assert as_new(log.read_run(name)) == run


def test_two_logs_on_one_database_take_turns_and_keep_the_chain(
    log: EventLog, database: Database
) -> None:
    other = SqlLog(database)
    run = history("a", *(submit(str(number)) for number in range(6)))
    outcomes: list[Outcome] = []
    for event, mine in zip(run, [log, other] * 4, strict=True):
        outcomes += mine.append([event])
    assert positions(outcomes) == list(range(1, 9))
    for mine in (log, other):
        assert mine.append(run) == outcomes
        [refused] = mine.append([new_event("a", 8, submit("late"))])
        assert closed(refused) == ("a", 8)
    assert verify(log).intact


def test_what_another_log_closed_is_closed_here(log: EventLog, database: Database) -> None:
    run = one_step_run("a")
    log.append(run[:3])
    SqlLog(database).append(run[3:])
    [refused] = log.append([new_event("a", 3, submit("mine"))])
    assert conflict(refused) == ("a", 3, 5)
    [refused] = log.append([new_event("a", 5, submit("mine"))])
    assert closed(refused) == ("a", 5)


def test_an_append_tells_those_who_wait_for_it(log: EventLog) -> None:
    log.append(plain_run("a", 3))
    log.commits.wait_beyond(2, timeout_s=float("inf"))  # returns at once, or never
    assert [row.position for row in log.read(2)] == [3]
