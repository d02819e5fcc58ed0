"""How often verdicts are wrong, and how often a change is found, on synthetic data with fixed seeds.

More rounds with RECORDER_SOAK=1; the figures of long runs are in docs/reports.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analytics.comparing.detecting import breaks
from analytics.comparing.evidence import judge
from analytics.comparing.intervals import Sample
from analytics.comparing.measures import (
    MeasureChange,
    RateChange,
    change_of_failures,
    change_of_measure,
)
from analytics.comparing.queries import PERCENTILES
from analytics.comparing.sides import Outcomes
from tests.trust.soak import rounds

Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
HOUR_US = 3_600_000_000


def lognormal(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return random.lognormal(14, 0.45, count)


def with_cold_starts(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return random.lognormal(14, 0.3, count) + np.where(random.random(count) < 0.05, 8e6, 0)


def heavy_tailed(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return (random.pareto(1.2, count) + 1) * 1e5


def in_tenths(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return np.round(random.lognormal(0, 0.45, count), 1) * 1e6


def answer(
    random: np.random.Generator, draw: Draw, counts: tuple[int, int], slower: float = 1.0
) -> tuple[list[MeasureChange], list[RateChange]]:
    """An answer about ten groups and their failures, of which only the first may have changed."""
    a, b = counts
    scales = [slower] + [1.0] * 9
    measures = [
        change_of_measure(
            sample(draw(random, a)), sample(draw(random, b) * scale), percentiles=PERCENTILES
        )
        for scale in scales
    ]
    failures = [
        change_of_failures(
            Outcomes(a, int(random.binomial(a, 0.02)), a),
            Outcomes(b, int(random.binomial(b, 0.02)), b),
        )
        for _ in scales
    ]
    judge([*(test for each in measures for test in each.tests()), *failures])
    return measures, failures


def says_anything(measures: list[MeasureChange], failures: list[RateChange]) -> bool:
    verdicts = [each.verdict for each in measures] + [each.verdict for each in failures]
    return set(verdicts) != {"no evidence"}


def sample(values: npt.NDArray[np.float64]) -> Sample:
    return Sample(np.sort(values.astype(np.int64)), len(values))


def at_most(share: float, of: int) -> int:
    """How many of so many a share may turn up as, all but once in a thousand times."""
    return int(stats.binom.isf(0.001, of, share))


@pytest.mark.parametrize("draw", [lognormal, with_cold_starts, heavy_tailed, in_tenths])
@pytest.mark.parametrize("counts", [(30, 30), (200, 2_000), (2_000, 2_000)])
def test_of_answers_about_noise_at_most_five_percent_say_anything(
    draw: Draw, counts: tuple[int, int]
) -> None:
    random = np.random.default_rng(6)
    answers = rounds(25, soak=2_000)
    wrong = 0
    for _ in range(answers):
        measures, failures = answer(random, draw, counts)
        wrong += says_anything(measures, failures)
    assert wrong <= at_most(0.05, answers)


def test_a_slow_down_of_ten_percent_is_found_and_nothing_beside_it() -> None:
    random = np.random.default_rng(7)
    answers = rounds(60, soak=2_000)
    found = beside = 0
    for _ in range(answers):
        (changed, *others), failures = answer(random, lognormal, (2_000, 2_000), slower=1.1)
        found += changed.verdict == "worse" and changed.shift.verdict == "worse"
        beside += says_anything(others, failures)
    assert found >= 0.95 * answers
    assert beside <= at_most(0.05, answers)


def test_a_speed_up_of_ten_percent_is_better() -> None:
    random = np.random.default_rng(8)
    (changed, *_), _ = answer(random, lognormal, (2_000, 2_000), slower=1 / 1.1)
    assert (changed.verdict, changed.shift.verdict) == ("better", "better")


Series = Callable[[np.random.Generator, npt.NDArray[np.int64]], npt.NDArray[np.float64]]


def noise(random: np.random.Generator, at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return lognormal(random, len(at_us))


def daily_rhythm(
    random: np.random.Generator, at_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    rhythm: npt.NDArray[np.float64] = noise(random, at_us) * (
        1 + 0.3 * np.sin(2 * np.pi * at_us / (24 * HOUR_US))
    )
    return rhythm


def in_bursts(random: np.random.Generator, at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Ten values in a row are slow together."""
    together = np.repeat(random.lognormal(0, 0.3, -(-len(at_us) // 10)), 10)[: len(at_us)]
    slow: npt.NDArray[np.float64] = noise(random, at_us) * together
    return slow


def places(
    random: np.random.Generator, series: Series, count: int, *, hours: int, step: float = 1.0
) -> list[int]:
    """Where a series changes, that has a step in the middle."""
    at_us = np.sort(random.integers(0, hours * HOUR_US, count))
    values = series(random, at_us) * np.where(np.arange(count) < count // 2, 1.0, step)
    return [each.index for each in breaks(values.astype(np.int64), at_us)]


@pytest.mark.parametrize("series", [noise, daily_rhythm, in_bursts])
@pytest.mark.parametrize("count", [200, 1_000, 4_000])
def test_of_series_without_a_change_at_most_five_percent_show_one(
    series: Series, count: int
) -> None:
    random = np.random.default_rng(9)
    drawn = rounds(150, soak=5_000)
    wrong = sum(bool(places(random, series, count, hours=168)) for _ in range(drawn))
    assert wrong <= at_most(0.05, drawn)


@pytest.mark.parametrize("series", [noise, daily_rhythm])
def test_a_step_of_ten_percent_is_found_near_its_place(series: Series) -> None:
    random = np.random.default_rng(10)
    drawn = rounds(150, soak=5_000)
    found = [places(random, series, 4_000, hours=168, step=1.1) for _ in range(drawn)]
    near = sum(len(each) == 1 and abs(each[0] - 2_000) < 400 for each in found)
    assert near >= 0.95 * drawn
