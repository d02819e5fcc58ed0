"""The database itself refuses to change what was recorded."""

from __future__ import annotations

import pytest

from recorder.audit import verify
from recorder.errors import SequenceConflict
from recorder.store.log import SqlLog
from recorder.store.tables import events
from tests.builders import one_step_run, plain_run
from tests.raw import RawDatabase

COLUMNS = [column.name for column in events.columns]
CHANGES = {
    "position": "99",
    "request_id": "'b'",
    "seq": "99",
    "type": "'error'",
    "node_id": "NULL",
    "app_id": "'other'",
    "step_request_id": "'other'",
    "received_at": "received_at + 1",
    "elapsed_us": "elapsed_us + 1",
    "frame": "salt",
    "salt": "frame",
    "frame_digest": "chain",
    "chain": "frame_digest",
}


@pytest.fixture
def five(log: SqlLog) -> SqlLog:
    """A log of five events, of the run `a`."""
    log.append(one_step_run("a"))
    return log


def test_every_column_has_its_test() -> None:
    assert list(CHANGES) == COLUMNS


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_of_an_event_can_be_changed(five: SqlLog, raw: RawDatabase, column: str) -> None:
    before = five.read()
    refusal = raw.refusal(f"UPDATE events SET {column} = {CHANGES[column]} WHERE position = 2")
    assert refusal.startswith("events are append-only")
    assert five.read() == before


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("frame", "salt")])
def test_no_other_column_can_be_changed_along_with_an_erasure(
    five: SqlLog, raw: RawDatabase, column: str
) -> None:
    refusal = raw.refusal(
        f"UPDATE events SET frame = NULL, salt = NULL, {column} = {CHANGES[column]} "
        "WHERE position = 2"
    )
    assert refusal.startswith("events are append-only")


@pytest.mark.parametrize("column", ["frame", "salt"])
def test_frame_and_salt_go_together_or_not_at_all(
    five: SqlLog, raw: RawDatabase, column: str
) -> None:
    refusal = raw.refusal(f"UPDATE events SET {column} = NULL WHERE position = 2")
    assert refusal.startswith("events are append-only")


def test_an_erasure_takes_frame_and_salt_and_the_chain_still_holds(
    five: SqlLog, raw: RawDatabase
) -> None:
    before = five.read()
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE position = 2")
    erased = five.read()[1]
    assert (erased.frame, erased.salt) == (None, None)
    assert erased.frame_digest == before[1].frame_digest
    assert five.read()[2:] == before[2:]
    verdict = verify(five)
    assert (verdict.intact, verdict.erased, verdict.position) == (True, 1, 5)


def test_an_erased_frame_cannot_come_back(five: SqlLog, raw: RawDatabase) -> None:
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE position = 2")
    refusal = raw.refusal("UPDATE events SET frame = ?, salt = ? WHERE position = 2", b"x", b"y")
    assert refusal.startswith("events are append-only")


def test_an_erased_event_cannot_be_told_from_another_and_conflicts(
    five: SqlLog, raw: RawDatabase
) -> None:
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE position = 2")
    outcomes = five.append(one_step_run("a"))
    assert [each.seq for each in outcomes if isinstance(each, SequenceConflict)] == [1]


def test_no_event_can_be_deleted(five: SqlLog, raw: RawDatabase) -> None:
    for condition in ("", " WHERE position = 5", " WHERE request_id = 'a'"):
        assert raw.refusal(f"DELETE FROM events{condition}").startswith("events are append-only")
    assert [row.position for row in five.read()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("table", ["events", "log_head", "events, log_head"])
def test_the_log_cannot_be_truncated(postgres_url: str, table: str) -> None:
    raw = RawDatabase(postgres_url)
    refusal = raw.refusal(f"TRUNCATE {table}")
    assert "TRUNCATE refused" in refusal
    raw.close()


@pytest.mark.parametrize("place", ["2, 'a', 1", "2, 'b', 0", "5, 'b', 0", "6, 'a', 1"])
def test_nothing_can_take_the_place_of_an_event(five: SqlLog, raw: RawDatabase, place: str) -> None:
    """Without `recursive_triggers`, SQLite's REPLACE asks no trigger that refuses DELETE."""
    before = five.read()
    values = f"{place}, 'submit', NULL, NULL, NULL, 0, 0, NULL, NULL, ?, ?"
    verbs = ["INSERT", "INSERT OR REPLACE", "REPLACE"] if raw.is_sqlite else ["INSERT"]
    for verb in verbs:
        refusal = raw.refusal(f"{verb} INTO events VALUES ({values})", b"d", b"c")
        assert "append-only" in refusal or "duplicate key" in refusal
    assert five.read() == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log_head",
        "UPDATE log_head SET position = position - 1",
        "UPDATE log_head SET epoch = 'another', position = position + 1",
        "UPDATE log_head SET chain = epoch",
        "UPDATE log_head SET id = 2",
    ],
)
def test_the_head_can_neither_go_nor_step_back(
    five: SqlLog, raw: RawDatabase, statement: str
) -> None:
    before = five.head()
    if not raw.is_sqlite:
        statement = statement.replace("chain = epoch", "chain = epoch::bytea")
    assert "log head" in raw.refusal(statement)
    assert five.head() == before


def test_the_head_cannot_be_replaced(five: SqlLog, raw: RawDatabase) -> None:
    before = five.head()
    verbs = ["INSERT", "INSERT OR REPLACE"] if raw.is_sqlite else ["INSERT"]
    for verb in verbs:
        for key in (1, 2):
            raw.refusal(f"{verb} INTO log_head VALUES ({key}, 'another', 0, ?)", b"")
    assert five.head() == before
    assert raw.execute("SELECT count(*) FROM log_head") == [(1,)]


def test_appending_goes_on_after_every_refusal(five: SqlLog, raw: RawDatabase) -> None:
    raw.refusal("DELETE FROM events")
    raw.refusal("DELETE FROM log_head")
    five.append(plain_run("b", 1))
    assert verify(five).position == 6
