"""The audit: an untouched log verifies, and any change made behind its back is found."""

from __future__ import annotations

import hashlib

import pytest

from recorder.audit import Verdict, verify
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.tables import events
from tests.builders import history, one_step_run, plain_run, submit
from tests.raw import RawDatabase

NOT_THE_FRAME = "the frame is not the one recorded"
NOT_THE_ROW = "the row is not the one recorded"
MISSING = "events are missing"
CHANGES = {
    "position": ("99", MISSING),
    "request_id": ("'b'", NOT_THE_ROW),
    "seq": ("99", NOT_THE_ROW),
    "type": ("'error'", NOT_THE_ROW),
    "node_id": ("NULL", NOT_THE_ROW),
    "app_id": ("'other'", NOT_THE_ROW),
    "step_request_id": ("''", NOT_THE_ROW),
    "received_at": ("received_at + 1", NOT_THE_ROW),
    "elapsed_us": ("-elapsed_us", NOT_THE_ROW),
    "frame": ("salt", NOT_THE_FRAME),
    "salt": ("frame", NOT_THE_FRAME),
    "frame_digest": ("chain", NOT_THE_FRAME),
    "chain": ("frame_digest", NOT_THE_ROW),
}


@pytest.fixture
def five(log: SqlLog) -> SqlLog:
    """A log of five events."""
    log.append(one_step_run("a"))
    return log


def found(verdict: Verdict) -> tuple[bool, int | None, str | None]:
    return verdict.intact, verdict.broken_at, verdict.reason


def test_an_empty_log_is_intact(log: SqlLog) -> None:
    assert verify(log) == Verdict(log.head().epoch, 0, bytes(32))


def test_an_untouched_log_is_intact_up_to_its_head(five: SqlLog) -> None:
    head = five.head()
    assert verify(five) == Verdict(head.epoch, 5, head.chain)


def test_a_long_log_is_verified_in_batches(log: SqlLog) -> None:
    log.append(plain_run("a", 2_500))
    reached: list[int] = []
    verdict = verify(log, progress=reached.append)
    assert (verdict.intact, verdict.position, reached) == (True, 2_500, [1_000, 2_000, 2_500])


def test_what_is_appended_meanwhile_does_no_harm(five: SqlLog) -> None:
    verdict = verify(five, progress=lambda _: five.append(one_step_run("b")))
    assert (verdict.intact, verdict.position) == (True, 5)


def test_every_column_has_its_test() -> None:
    assert list(CHANGES) == [column.name for column in events.columns]


@pytest.mark.parametrize("position", [1, 3, 5])
@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_is_found_where_it_stands(
    five: SqlLog, raw: RawDatabase, column: str, position: int
) -> None:
    raw.drop_guards()
    value, reason = CHANGES[column]
    if (column, position) == ("node_id", 1):
        value = "'a'"  # `opened` has none
    if (column, position) in {("elapsed_us", 1), ("node_id", 5)}:
        value = "'1'"
    before = raw.execute(f"SELECT {column} FROM events WHERE position = {position}")
    raw.execute(f"UPDATE events SET {column} = {value} WHERE position = {position}")
    assert raw.execute(f"SELECT {column} FROM events WHERE position = {position}") != before
    assert found(verify(five)) == (False, position, reason)


def test_the_verdict_covers_what_is_before_the_break(five: SqlLog, raw: RawDatabase) -> None:
    rows = five.read()
    raw.drop_guards()
    raw.execute("UPDATE events SET seq = 9 WHERE position = 4")
    head = five.head()
    assert verify(five) == Verdict(head.epoch, 3, rows[2].chain, 0, 4, NOT_THE_ROW)


def test_a_frame_changed_along_with_its_digest_is_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    frame, salt = b"data: forged\n\n", bytes(16)
    digest = hashlib.sha256(salt + frame).digest()
    raw.execute(
        "UPDATE events SET frame = ?, salt = ?, frame_digest = ? WHERE position = 2",
        frame, salt, digest,
    )  # fmt: skip
    assert found(verify(five)) == (False, 2, NOT_THE_ROW)


def test_a_frame_without_its_salt_is_not_taken_for_erased(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("UPDATE events SET frame = ?, salt = NULL WHERE position = 2", b"forged")
    assert found(verify(five)) == (False, 2, NOT_THE_FRAME)


def test_a_salt_without_its_frame_is_not_taken_for_erased(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("UPDATE events SET frame = NULL WHERE position = 2")
    assert found(verify(five)) == (False, 2, NOT_THE_FRAME)


@pytest.mark.parametrize("position", [1, 3, 5])
def test_a_deleted_row_is_found(five: SqlLog, raw: RawDatabase, position: int) -> None:
    raw.drop_guards()
    raw.execute(f"DELETE FROM events WHERE position = {position}")
    assert found(verify(five)) == (False, position, MISSING)


def test_rows_deleted_with_the_gap_closed_are_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("DELETE FROM events WHERE position = 2")
    for position in (3, 4, 5):
        raw.execute(f"UPDATE events SET position = {position - 1} WHERE position = {position}")
    raw.execute("UPDATE log_head SET position = 4")
    assert found(verify(five)) == (False, 2, NOT_THE_ROW)


def test_an_emptied_log_is_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("DELETE FROM events")
    assert found(verify(five)) == (False, 1, MISSING)


def test_two_swapped_rows_are_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    for old, new in ((2, 77), (3, 2), (77, 3)):
        raw.execute(f"UPDATE events SET position = {new} WHERE position = {old}")
    assert found(verify(five)) == (False, 2, NOT_THE_ROW)


def test_a_changed_head_is_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("UPDATE log_head SET chain = ?", bytes(32))
    assert found(verify(five)) == (False, 5, "the head does not match the last event")


def test_a_head_put_forward_is_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("UPDATE log_head SET position = 6")
    assert found(verify(five)) == (False, 6, MISSING)


def test_a_head_put_back_to_where_it_once_was_is_found(five: SqlLog, raw: RawDatabase) -> None:
    third = five.read()[2]
    raw.drop_guards()
    raw.execute("UPDATE log_head SET position = 3, chain = ?", third.chain)
    assert found(verify(five)) == (False, 4, "events stand beyond the head")


def test_another_epoch_is_found(five: SqlLog, raw: RawDatabase) -> None:
    raw.drop_guards()
    raw.execute("UPDATE log_head SET epoch = 'another'")
    assert found(verify(five)) == (False, 1, NOT_THE_ROW)


def test_erased_frames_are_counted_and_hold(five: SqlLog, raw: RawDatabase) -> None:
    head = five.head()
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE position > 3")
    assert verify(five) == Verdict(head.epoch, 5, head.chain, erased=2)


@pytest.mark.parametrize(
    "change",
    [
        "frame = replace(frame, 'a', 'b')",
        "frame = 'text'",
        "salt = 'text'",
        "salt = 7",
        "frame_digest = 'text'",
        "chain = 'text'",
        "request_id = x'ff'",
        "seq = 'one'",
        "received_at = received_at + 0.5",
        "elapsed_us = 'a text that is longer than any number'",
        "node_id = 7",
    ],
)
def test_a_value_of_another_type_is_found_too(sqlite_url: str, change: str) -> None:
    """SQLite's columns take any type, and `replace` in its shell makes text of bytes."""
    database, raw = connect(sqlite_url), RawDatabase(sqlite_url)
    log = SqlLog(database)
    log.append(history("a", submit("a")))
    raw.drop_guards()
    raw.execute(f"UPDATE events SET {change} WHERE position = 2")
    verdict = verify(log)
    assert (verdict.intact, verdict.broken_at) == (False, 2)
    raw.close()
    database.close()


# The formula, by hand


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def column(value: object) -> bytes:
    if value is None:
        return bytes.fromhex("ffffffff")
    encoded = str(value).encode("utf-8")
    return len(encoded).to_bytes(4, "big") + encoded


def test_the_chain_is_what_the_formula_says(log: SqlLog) -> None:
    log.append([*history("ä", submit("nö", step="s")), *plain_run("b", 1)])
    epoch = log.head().epoch
    previous = b"\0" * 32
    for row in log.read():
        assert row.frame is not None
        assert row.salt is not None
        assert len(row.salt) == 16
        digest = sha256(row.salt, row.frame)
        columns = (
            row.position, row.request_id, row.seq, row.type, row.node_id, row.app_id,
            row.step_request_id, row.received_at, row.elapsed_us,
        )  # fmt: skip
        value = sha256(
            b"fal-flight-recorder/1\n", column(epoch), previous, *map(column, columns), digest
        )
        assert (row.frame_digest, row.chain) == (digest, value)
        previous = value
    assert log.head().chain == previous


def test_salts_are_never_used_twice(log: SqlLog) -> None:
    log.append(plain_run("a", 50))
    assert len({row.salt for row in log.read()}) == 50
