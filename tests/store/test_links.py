"""The chain before events that are read apart from the log."""

from __future__ import annotations

from recorder import chain
from recorder.store.engine import Database
from recorder.store.links import chains_before
from recorder.store.log import SqlLog
from tests.builders import one_step_run


def test_each_position_is_told_what_it_follows(database: Database, log: SqlLog) -> None:
    log.append(one_step_run("a"))
    rows = log.read()
    assert chains_before(database, [1, 3, 6, 8]) == {
        1: chain.GENESIS,
        3: rows[1].chain,
        6: rows[4].chain,
    }
    assert chains_before(database, []) == {}
