"""Reports to be looked at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analytics.reporting.composing import Report, compose
from analytics.reporting.queries import ReportQuery
from recorder.bootstrap import Recorder
from recorder.events import NewEvent
from tests.clocks import NOVEMBER_2023_US

HOUR_US = 3_600_000_000
Composed = Callable[..., Report]


@pytest.fixture
def composed(sqlite_rec: Recorder) -> Composed:
    """Appends runs, and composes a report two hours after the first: `composed(run, compare=…)`."""

    def ask(*histories: list[NewEvent], **query: object) -> Report:
        for events in histories:
            sqlite_rec.log.append(events)
        sqlite_rec.projector.catch_up()
        now_us = NOVEMBER_2023_US + 2 * HOUR_US
        return compose(sqlite_rec.database, ReportQuery(**query), now_us=now_us)  # type: ignore[arg-type]

    return ask
