"""Finding recorded runs by what was asked: the same app, and the same input."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Select, select

from recorder.documents import Mode, as_bytes
from recorder.events import lift
from recorder.inputs import digest
from recorder.store.beginnings import beginning
from recorder.store.engine import Database
from recorder.store.generations import RUNS
from recorder.store.log import EventLog
from recorder.store.tables import projections, runs

MAX_COMPARED: Final = 2_000
"""Where some fields do not count, the newest so many runs of an app are compared one by one."""

_live_generation = (
    select(projections.c.generation).where(projections.c.name == RUNS).scalar_subquery()
)


class Asked(msgspec.Struct, frozen=True):
    """What a recorded run has to be like.

    Attributes:
        app: Its endpoint id.
        modes: How it was called: any of these, and of the first rather than of the next.
        body: Its input, the same in canonical form.
        ignoring: Top-level fields of the input that do not count.
        statuses: How it ended: any of these.
        nth: 1 for the newest such run, 2 for the one before, … of the first mode, then of the next.
    """

    app: str
    modes: tuple[Mode, ...]
    body: bytes
    ignoring: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ("completed", "failed")
    nth: int = 1


def find(database: Database, log: EventLog, asked: Asked) -> str | None:
    """The request id of a recorded run that fits, as far as runs are projected; None for none."""
    fitting = (
        request_id for mode in asked.modes for request_id in _fitting(database, log, asked, mode)
    )
    return next((each for number, each in enumerate(fitting, 1) if number == asked.nth), None)


def _fitting(database: Database, log: EventLog, asked: Asked, mode: Mode) -> Iterator[str]:
    """Those of one mode, newest first; no more than are asked for."""
    wanted = digest(asked.body, ignoring=asked.ignoring)
    if not asked.ignoring:
        same = runs.c.input_digest.is_(None) if wanted is None else runs.c.input_digest == wanted
        yield from _ids(database, _candidates(asked, mode).where(same).limit(asked.nth))
        return
    for request_id in _ids(database, _candidates(asked, mode).limit(MAX_COMPARED)):
        if _digest(log, request_id, asked.ignoring) == wanted:
            yield request_id


def inputs(database: Database, log: EventLog, asked: Asked, *, limit: int) -> Iterator[bytes]:
    """The inputs of the newest runs that fit but for their input."""
    for request_id in _ids(database, _candidates(asked, *asked.modes).limit(limit)):
        yield _input(log, request_id)


def _candidates(asked: Asked, *modes: Mode) -> Select[tuple[str]]:
    return (
        select(runs.c.request_id)
        .where(
            runs.c.generation == _live_generation,
            runs.c.workflow == lift(asked.app),
            runs.c.mode.in_(modes),
            runs.c.status.in_(asked.statuses),
        )
        .order_by(runs.c.first_position.desc())
    )


def _ids(database: Database, query: Select[Any]) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(query).scalars())


def _digest(log: EventLog, request_id: str, ignoring: Collection[str]) -> str | None:
    return digest(_input(log, request_id), ignoring=ignoring)


def _input(log: EventLog, request_id: str) -> bytes:
    began = beginning(log, request_id)
    return b"" if began is None else as_bytes(began.input, began.input_base64)
