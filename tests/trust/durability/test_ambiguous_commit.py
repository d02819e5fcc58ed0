"""The connection to PostgreSQL is cut in the middle of an append, at every place there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recorder.audit import verify
from recorder.events import NewEvent
from recorder.store.engine import Database, connect
from recorder.store.log import Receipt, SqlLog, all_events
from recorder.writer import LogWriter
from tests.builders import as_new, plain_run
from tests.logs import WAIT_S
from tests.trust.durability.fault_proxy import (
    FaultProxy,
    Judge,
    cut_after_commit,
    cut_at,
    cut_before_commit,
    fault_proxy,
)

BY_INSERT, BY_COPY = 1, 30
"""How many events an append takes one way or the other."""

FEWEST_MESSAGES = 20
"""Connecting and appending take more than these, or the proxy has not seen them."""


def append_through(proxy: FaultProxy, run: list[NewEvent]) -> list[Receipt]:
    """What a sender is told who appends over a connection of its own."""
    database = connect(proxy.url)
    writer = LogWriter(SqlLog(database), pause=lambda _: None)
    receipts = writer.submit(run).result(WAIT_S)
    assert writer.close()
    database.close()
    return receipts


def receipts_in(database: Database, request_id: str) -> list[Receipt]:
    rows = SqlLog(database).read_run(request_id)
    return [Receipt(row.position, row.chain) for row in rows]


@pytest.mark.parametrize("cut", [cut_before_commit, cut_after_commit])
@pytest.mark.parametrize("size", [BY_INSERT, BY_COPY])
def test_a_commit_that_is_cut_off_is_made_once_and_acknowledged_by_its_first_receipt(
    postgres_url: str, size: int, cut: Callable[[], Judge]
) -> None:
    database, run = connect(postgres_url), plain_run("a", size)
    with fault_proxy(postgres_url) as proxy:
        proxy.judge = cut()
        receipts = append_through(proxy, run)
        assert proxy.cuts == 1
    assert receipts == receipts_in(database, "a")
    assert as_new(SqlLog(database).read()) == run
    assert verify(SqlLog(database)).intact
    database.close()


def test_the_two_cuts_differ_in_what_the_server_has_committed(postgres_url: str) -> None:
    """Or else the test above would cut in the same place twice."""
    database = connect(postgres_url)
    held: list[int] = []

    def append(judge: Judge, request_id: str) -> None:
        with fault_proxy(postgres_url) as proxy:
            proxy.judge = judge
            through = connect(proxy.url)
            writer = LogWriter(
                SqlLog(through),
                pause=lambda _: held.append(len(receipts_in(database, request_id))),
            )
            writer.submit(plain_run(request_id, 1)).result(WAIT_S)
            assert writer.close()
            through.close()

    append(cut_before_commit(), "before")
    append(cut_after_commit(), "after")
    assert held == [0, 1]
    database.close()


@pytest.mark.parametrize("size", [BY_INSERT, BY_COPY])
def test_wherever_the_connection_is_cut_each_event_goes_in_once(
    postgres_url: str, size: int
) -> None:
    database = connect(postgres_url)
    sent: list[NewEvent] = []
    cuts, place = 1, 0
    with fault_proxy(postgres_url) as proxy:
        while cuts:
            run = plain_run(f"cut-{place}", size)
            before, proxy.judge = proxy.cuts, cut_at(place)
            receipts = append_through(proxy, run)
            cuts = proxy.cuts - before
            assert receipts == receipts_in(database, run[0].request_id)
            sent += run
            place += 1
    assert as_new(all_events(SqlLog(database))) == sent
    assert place > FEWEST_MESSAGES
    assert verify(SqlLog(database)).intact
    database.close()
