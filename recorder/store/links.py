"""The chain between events: what stands before an event that is not of the run one reads."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, select

from recorder import chain
from recorder.store.engine import Database
from recorder.store.tables import events

_CHAINS: Final = select(events.c.position, events.c.chain).where(
    events.c.position.in_(bindparam("positions", expanding=True))
)


def chains_before(database: Database, positions: Collection[int]) -> dict[int, bytes]:
    """The chain values that some positions follow, by those positions.

    A position beyond the log's end and the one after it is left out. For some thousand at a time.
    """
    if not positions:
        return {}
    before = [position - 1 for position in positions]
    with database.reading() as connection:
        found = connection.execute(_CHAINS, {"positions": before}).all()
    follows = {position + 1: value for position, value in found}
    return follows | ({1: chain.GENESIS} if 1 in positions else {})
