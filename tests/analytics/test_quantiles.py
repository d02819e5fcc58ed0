"""Percentiles and their intervals, against numpy and against the binomial distribution itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.quantiles import percentile_rows, ranks


def rows_of(
    *groups: list[int] | None, percentiles: tuple[float, ...] = (50,)
) -> list[dict[str, Any]]:
    table = pa.table(
        {"group": range(len(groups)), "values": pa.array(groups, pa.list_(pa.int64()))}
    )
    rows: list[dict[str, Any]] = percentile_rows(table, "values", percentiles, 0.95).to_pylist()
    return rows


def test_a_percentile_lies_between_two_of_the_groups_own_values() -> None:
    values = list(range(10, 210, 10))  # 20 of them
    assert rows_of(values[::-1]) == [
        {
            "group": 0,
            "n": 20,
            "mean_us": 105.0,
            "max_us": 200,
            "percentile": 50.0,
            "value_us": 105.0,
            "low_us": 60,  # the 6th and the 15th: Conover's table for n = 20, p = 0.5
            "high_us": 150,
        }
    ]


def test_a_group_too_small_for_a_bound_has_none() -> None:
    # Of 5 values all are below the median with probability 1/32 > 0.025.
    assert [(row["low_us"], row["high_us"]) for row in rows_of([1, 2, 3, 4, 5])] == [(None, None)]
    assert [(row["low_us"], row["high_us"]) for row in rows_of([1, 2, 3, 4, 5, 6])] == [(1, 6)]


def test_groups_without_values_tell_that_nothing_is_known() -> None:
    assert [(row["n"], row["mean_us"], row["value_us"]) for row in rows_of([], [7], None)] == [
        (0, None, None),
        (1, 7.0, 7.0),
        (0, None, None),
    ]
    assert rows_of() == []


@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.999])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_intervals_cover_as_promised_and_are_no_wider_than_need_be(
    share: float, confidence: float
) -> None:
    sizes = np.array([1, 2, 7, 30, 100])
    lower, upper = ranks(sizes, share, confidence)
    for n, low, high in zip(sizes.tolist(), lower.tolist(), upper.tolist(), strict=True):
        chance = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
        missed = (1 - confidence) / 2 + 1e-12
        assert sum(chance[:low]) <= missed < sum(chance[: low + 1])
        assert sum(chance[high:]) <= missed < sum(chance[high - 1 :])


@given(
    st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=40), max_size=6),
    st.lists(st.floats(0.1, 99.9), min_size=1, max_size=4),
)
def test_values_are_numpys(groups: list[list[int]], percentiles: list[float]) -> None:
    rows = rows_of(*groups, percentiles=tuple(percentiles))
    expected = [
        (number, percent, np.percentile(group, percent) if group else None)
        for number, group in enumerate(groups)
        for percent in percentiles
    ]
    assert [(row["group"], row["percentile"]) for row in rows] == [each[:2] for each in expected]
    for row, (_, _, value) in zip(rows, expected, strict=True):
        assert row["value_us"] == (None if value is None else pytest.approx(value, abs=0.01))
        if row["low_us"] is not None and row["high_us"] is not None:
            assert row["low_us"] <= row["high_us"]
