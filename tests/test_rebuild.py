"""Rebuilding: a new generation beside the live one, compared, and swapped in at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from recorder.errors import LogError
from recorder.projector import Projector, Rebuilt, rebuild
from recorder.store.engine import Database, connect
from recorder.store.generations import start_generation
from recorder.store.log import SqlLog
from recorder.store.views import Views
from tests.builders import history, interleaved, one_step_run, place, submit
from tests.raw import RawDatabase
from tests.test_projector import folded, generations, projected, tables


@pytest.fixture
def projector(database: Database, log: SqlLog) -> Projector:
    """A projector that has caught up with three runs, one of them still going on."""
    going_on = history("c", submit("c1"), submit("c2"), reason=None)
    log.append(interleaved(one_step_run("a"), one_step_run("b"), going_on))
    projector = Projector(database, log)
    projector.catch_up()
    return projector


def test_an_empty_log_is_rebuilt(database: Database, log: SqlLog, raw: RawDatabase) -> None:
    assert rebuild(database, log) == Rebuilt(0, 0)
    assert rebuild(database, log) == Rebuilt(0, 0)
    assert generations(raw) == [("runs", 3)]
    log.append(one_step_run("a"))
    Projector(database, log).catch_up()
    assert projected(database) == folded(log)


def test_a_rebuild_of_what_is_right_finds_no_difference(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    before = tables(raw)
    assert rebuild(database, log) == Rebuilt(13, 0)
    assert tables(raw) == before
    assert generations(raw) == [(2,), ("runs", 2)]
    assert place(Views(database).checkpoint()) == (2, 13)


def test_a_rebuild_fills_tables_nobody_has_filled(
    database: Database, log: SqlLog, raw: RawDatabase
) -> None:
    log.append(one_step_run("a"))
    assert rebuild(database, log) == Rebuilt(5, 0)
    assert projected(database) == folded(log)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE runs SET status = 'failed' WHERE request_id = 'b'",
        "UPDATE runs SET duration_us = NULL WHERE request_id = 'b'",
        "UPDATE runs SET error = '{\"message\": \"x\"}' WHERE request_id = 'b'",
        "UPDATE steps SET inference_us = 0 WHERE request_id = 'b'",
        "UPDATE steps SET app_id = NULL WHERE request_id = 'b'",
        "UPDATE steps SET attempt = 2 WHERE request_id = 'b'",
        "DELETE FROM steps WHERE request_id = 'b'",
        "DELETE FROM runs WHERE request_id = 'b'",
        "UPDATE steps SET request_id = 'b' WHERE request_id = 'c' AND node_id = 'c1'",
    ],
)
def test_a_rebuild_finds_and_mends_what_was_tampered_with(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector, tampering: str
) -> None:
    right = tables(raw)
    raw.execute(tampering)
    assert tables(raw) != right
    expected = 2 if "'c'" in tampering else 1
    assert rebuild(database, log) == Rebuilt(13, expected)
    assert tables(raw) == right


def test_a_rebuild_finds_a_run_the_log_has_never_seen(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    right = tables(raw)
    raw.execute("UPDATE runs SET request_id = 'z' WHERE request_id = 'b'")
    assert rebuild(database, log) == Rebuilt(13, 2)  # `z` too many, `b` missing
    assert tables(raw) == right


def test_readers_see_the_old_generation_until_the_swap(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    raw.execute("UPDATE runs SET status = 'failed' WHERE request_id = 'b'")
    before = projected(database)
    seen = []
    rebuild(database, log, progress=lambda _: seen.append(projected(database)))
    assert seen == [before]
    assert projected(database) == folded(log) != before


def test_a_rebuild_takes_in_what_is_appended_meanwhile(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    late = iter([one_step_run("d"), one_step_run("e")])

    def write(_position: int) -> None:
        run = next(late, None)
        if run is not None:
            log.append(run[:3])
            projector.catch_up()
            log.append(run[3:])

    assert rebuild(database, log, progress=write) == Rebuilt(23, 0)
    assert place(projector.catch_up()) == (2, 23)
    assert projected(database) == folded(log)
    assert generations(raw) == [(2,), ("runs", 2)]


def test_the_live_projector_goes_on_in_the_new_generation(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    rebuild(database, log)
    log.append([*history("c", submit("c1"), submit("c2"))[3:], *one_step_run("d")])
    assert place(projector.catch_up()) == (2, 19)
    assert projected(database) == folded(log)
    assert rebuild(database, log) == Rebuilt(19, 0)


def test_an_interrupted_rebuild_changes_nothing_and_the_next_clears_it_away(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    def interrupt(_position: int) -> None:
        raise KeyboardInterrupt

    before = projected(database)
    with pytest.raises(KeyboardInterrupt):
        rebuild(database, log, progress=interrupt)
    assert projected(database) == before
    assert place(projector.catch_up()) == (1, 13)
    assert generations(raw) == [(1,), (2,), ("runs", 1), ("runs.rebuild", 2)]
    assert rebuild(database, log) == Rebuilt(13, 0)
    assert projected(database) == before
    assert generations(raw) == [(2,), ("runs", 2)]


def test_what_a_rebuild_left_that_died_after_its_swap_is_cleared_away(
    database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    rebuild(database, log)
    raw.execute("UPDATE runs SET generation = 1 WHERE request_id = 'a'")
    raw.execute("UPDATE steps SET generation = 1 WHERE request_id = 'a'")
    assert rebuild(database, log) == Rebuilt(13, 1)
    assert projected(database) == folded(log)
    assert generations(raw) == [(3,), ("runs", 3)]


def test_of_two_rebuilds_the_slower_is_refused_and_harms_nothing(
    database_url: str, database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    other = connect(database_url)
    inner: list[Rebuilt] = []

    def rebuild_too(_position: int) -> None:
        inner.append(rebuild(other, SqlLog(other)))

    with pytest.raises(LogError, match=r"^there is no projection runs\.rebuild$"):
        rebuild(database, log, progress=rebuild_too)
    other.close()
    assert inner == [Rebuilt(13, 0)]
    assert projected(database) == folded(log)
    assert generations(raw) == [(2,), ("runs", 2)]


def test_a_rebuild_overtaken_while_it_compares_harms_nothing(
    database_url: str, database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    other = connect(database_url)
    inner: list[Rebuilt] = []
    while_comparing(database, lambda: inner.append(rebuild(other, SqlLog(other))))
    with pytest.raises(LogError, match=r"^there is no projection runs\.rebuild$"):
        rebuild(database, log)
    other.close()
    assert inner == [Rebuilt(13, 0)]
    assert projected(database) == folded(log)
    assert generations(raw) == [(2,), ("runs", 2)]


def test_a_generation_another_rebuild_has_emptied_is_not_swapped_in(
    database_url: str, database: Database, log: SqlLog, raw: RawDatabase, projector: Projector
) -> None:
    other = connect(database_url)

    def begin_another() -> None:
        with other.writing() as connection:
            start_generation(connection, "runs.rebuild", live="runs")

    while_comparing(database, begin_another)
    assert rebuild(database, log) == Rebuilt(13, 0)
    other.close()
    assert projected(database) == folded(log)
    assert generations(raw) == [(2,), ("runs", 2)]


def while_comparing(database: Database, act: Callable[[], object]) -> None:
    """Calls something once, as the two generations are about to be compared."""
    left = [act]

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if left and "JOIN" in statement:
            left.pop()()

    event.listen(database.engine, "before_cursor_execute", on_statement)
