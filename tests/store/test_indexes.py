"""Lookups by id go through an index, on either database."""

from __future__ import annotations

import pytest

from recorder.store.log import SqlLog
from tests.builders import history, submit
from tests.raw import RawDatabase


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("step_request_id = 's'", "ix_events_step_request_id"),
        ("request_id = 'a' AND node_id = 'n'", "events_request_id_seq|autoindex_events"),
        ("request_id = 'a' AND seq > 1", "events_request_id_seq|autoindex_events"),
        ("received_at > 1", "ix_events_received_at"),
    ],
)
def test_events_are_found_by_an_index(
    log: SqlLog, raw: RawDatabase, condition: str, index: str
) -> None:
    log.append(history("a", submit("n", step="s")))
    if raw.is_sqlite:
        plan = raw.execute(f"EXPLAIN QUERY PLAN SELECT * FROM events WHERE {condition}")
    else:
        raw.execute("SET enable_seqscan = off")
        plan = raw.execute(f"EXPLAIN SELECT * FROM events WHERE {condition}")
    assert any(name in str(plan) for name in index.split("|")), plan
