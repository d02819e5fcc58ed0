"""Changes over time, on small series whose place of change is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analytics.comparing import changes as module
from analytics.comparing.changes import (
    BeforeAfter,
    Change,
    ChangesReport,
    changes,
    changes_in,
)
from analytics.comparing.measures import Driver
from analytics.comparing.queries import ChangesQuery
from recorder.bootstrap import Recorder
from recorder.errors import BadQuery
from tests.analytics.tables import MINUTE_US, a_run, a_step, asked
from tests.builders import WORKFLOW, one_step_run
from tests.clocks import NOVEMBER_2023_US

MEDIAN = ChangesQuery(percentiles=(50,))


def level(us: int, count: int = 200, *, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Steps that take about so long; the same steps every time."""
    noise = np.random.default_rng(first).integers(-20, 20, count)
    return [
        a_step(first + number, duration_us=us + int(off), **fields)
        for number, off in enumerate(noise)
    ]


def test_nothing_recorded_has_no_changes() -> None:
    with asked(position=3) as opened:
        assert changes_in(opened, MEDIAN) == ChangesReport(
            query=MEDIAN, changes=[], series=0, too_short=0, left_out=0, as_of_position=3
        )


def test_a_step_is_told_with_its_moment_both_levels_and_runs_that_show_it() -> None:
    steps = [*level(1_000), *level(1_100, first=200)]
    slowest = sorted(steps[200:], key=lambda row: (row["duration_us"], row["request_id"]))[:-6:-1]
    with asked(steps=steps[::-1]) as opened:
        report = changes_in(opened, MEDIAN)
    (change,) = report.changes
    (median,) = change.percentiles
    assert change == Change(
        p_value=change.p_value,
        adjusted_p_value=change.p_value,
        verdict="worse",
        workflow=WORKFLOW,
        node="a",
        measure="duration",
        at=NOVEMBER_2023_US + 200 * MINUTE_US,
        since=NOVEMBER_2023_US,
        until=NOVEMBER_2023_US + 399 * MINUTE_US,
        before_count=200,
        after_count=200,
        after_longer=1.0,
        percentiles=[median],
        drivers=[Driver(row["request_id"], row["duration_us"]) for row in slowest],
    )
    assert median == BeforeAfter(
        percentile=50,
        before_us=float(np.median([row["duration_us"] for row in steps[:200]])),
        after_us=float(np.median([row["duration_us"] for row in steps[200:]])),
        change_us=median.after_us - median.before_us,
        change_percent=round((median.after_us - median.before_us) / median.before_us * 100, 3),
        low_us=median.low_us,
        high_us=median.high_us,
    )
    assert median.low_us is not None
    assert median.high_us is not None
    assert 85 < median.low_us < median.change_us < median.high_us < 115


def test_a_bump_is_two_changes_each_seen_from_its_own_stretch() -> None:
    steps = [*level(1_000), *level(1_100, first=200), *level(1_000, first=400)]
    with asked(steps=steps) as opened:
        found = changes_in(opened, MEDIAN).changes
    told = [(each.verdict, each.at, each.since, each.before_count) for each in found]
    start = NOVEMBER_2023_US
    assert told == [
        ("worse", start + 200 * MINUTE_US, start, 200),
        ("better", start + 400 * MINUTE_US, start + 200 * MINUTE_US, 200),
    ]
    assert {int(driver.request_id[4:]) // 200 for each in found for driver in each.drivers} == {1}


def test_every_series_is_looked_through_and_short_ones_are_counted() -> None:
    runs = [a_run(n, duration_us=1_000 + 100 * (n >= 200) + n % 20) for n in range(400)]
    steps = [*level(1_000, 400, node_id="b"), *level(900, 199, node_id="c")]
    with asked(runs=runs, steps=steps) as opened:
        report = changes_in(opened, MEDIAN)
    assert [(each.node, each.measure, each.verdict) for each in report.changes] == [
        (None, "duration", "worse")
    ]
    assert report.changes[0].drivers[0].value_us == 1_119
    assert (report.series, report.too_short) == (2, 1)


def test_values_that_never_vary_have_no_changes() -> None:
    with asked(steps=[a_step(n) for n in range(300)]) as opened:
        assert changes_in(opened, MEDIAN).changes == []


def test_all_at_the_same_moment_is_no_series_to_stumble_over() -> None:
    steps = [row | {"opened_at": NOVEMBER_2023_US} for row in level(1_000)]
    with asked(steps=steps) as opened:
        assert changes_in(opened, MEDIAN).changes == []


def test_of_a_long_series_every_second_value_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 300)
    steps = [*level(1_000, 301), *level(1_100, 299, first=301)]
    with asked(steps=steps) as opened:
        (change,) = changes_in(opened, MEDIAN).changes
    assert abs(change.before_count - 301) <= 2
    assert change.before_count + change.after_count == 600


def test_a_log_is_looked_through(rec: Recorder) -> None:
    rec.log.append(one_step_run("run"))
    rec.projector.catch_up()
    report = changes(rec.database, ChangesQuery(measure="overhead"))
    assert (report.series, report.too_short, report.as_of_position) == (0, 2, 5)


@pytest.mark.parametrize(
    ("field", "wrong"), [("measure", {"measure": "queue"}), ("percentiles", {"percentiles": (0,)})]
)
def test_what_makes_no_sense_is_refused(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadQuery, match=f"^{field}: "):
        ChangesQuery(**wrong)
