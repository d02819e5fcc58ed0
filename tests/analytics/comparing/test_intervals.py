"""Percentiles and their intervals, against numbers worked out by hand and by scipy's own test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analytics.comparing.intervals import (
    Interval,
    Sample,
    change_of_percentile,
    change_of_rate,
)


def sample(*values: int, independent: int | None = None) -> Sample:
    return Sample(np.array(values, dtype=np.int64), independent or len(values))


TENS = sample(*range(10, 1010, 10))
"""A hundred values, the rank of each being a tenth of it."""


def test_a_percentile_is_interpolated_between_neighbours() -> None:
    five = sample(100, 200, 300, 400, 1000)
    found = [five.percentile(percentile) for percentile in (0.1, 50, 90, 95, 99.9)]
    assert found == [100.4, 300.0, 760.0, 880.0, 997.6]
    assert sample(7).percentile(99) == 7.0


def test_the_interval_of_a_change_comes_from_the_ranks_the_binomial_gives() -> None:
    # Of 100 values the median lies between the 40th and the 61st with 95 %: 400 and 610 around 505.
    shifted = sample(*range(1010, 2010, 10))
    half = round(float(np.hypot(105, 105)), 3)
    found = change_of_percentile(TENS, shifted, 50)
    assert (found.low, found.high) == (1000 - half, 1000 + half)
    assert found.p_value is not None
    assert found.p_value < 1e-9


@pytest.mark.parametrize("percentile", [50, 90])
def test_each_side_is_limited_as_by_scipys_quantile_test(percentile: float) -> None:
    limits = stats.quantile_test(TENS.values, p=percentile / 100).confidence_interval(0.95)
    certain = sample(*[0] * 1_000)  # moves neither limit
    found = change_of_percentile(certain, TENS, percentile)
    assert (found.low, found.high) == (limits.low, limits.high)


def test_a_limit_that_no_value_stands_for_is_open() -> None:
    # The largest of 100 values is below the 99th percentile in every third sample.
    assert change_of_percentile(TENS, TENS, 99) == Interval(None, None, None)
    few = sample(1, 2, 3)
    assert change_of_percentile(few, few, 50) == Interval(None, None, None)


def test_no_change_is_certain_of_nothing() -> None:
    found = change_of_percentile(TENS, TENS, 50)
    assert (found.low, found.high, found.p_value) == (-148.492, 148.492, 1.0)


def test_values_that_depend_on_one_another_tell_less() -> None:
    doubled = sample(*sorted([*TENS.values, *TENS.values]), independent=100)
    found = change_of_percentile(doubled, doubled, 50)
    assert found.low is not None
    assert -150 <= found.low <= -145  # as 100 values do; 200 would give -106


def test_p_is_at_most_five_percent_just_where_the_interval_leaves_out_nothing() -> None:
    for shift in range(100, 220, 3):
        found = change_of_percentile(TENS, sample(*(TENS.values + shift)), 50)
        assert found.low is not None
        assert found.p_value is not None
        assert (found.low > 0) == (found.p_value <= 0.05 + 1e-12)


def test_a_change_of_a_rate_has_newcombes_interval() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10.
    low, high = change_of_rate(48, 80, 56, 70)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
