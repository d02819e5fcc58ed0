"""What the questions are asked of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analytics.latency import LatencyQuery, LatencyReport, latency
from recorder.bootstrap import Recorder
from recorder.events import NewEvent

Measured = Callable[..., LatencyReport]


@pytest.fixture
def measured(rec: Recorder) -> Measured:
    """Appends runs, folds them, and asks: `measured(run, run, by=("app",))`."""

    def ask(*histories: list[NewEvent], **query: object) -> LatencyReport:
        for events in histories:
            rec.log.append(events)
        rec.projector.catch_up()
        return latency(rec.database, LatencyQuery(**query))  # type: ignore[arg-type]

    return ask
