"""How long a replay waits."""

from __future__ import annotations

from itertools import pairwise

import pytest

from recorder.errors import BadQuery
from recorder.replay import Pace, read_speed


@pytest.mark.parametrize(
    ("pace", "waits_us"),
    [
        (Pace(), [500_000, 0, 10_000_000]),
        (Pace(speed=2), [250_000, 0, 5_000_000]),
        (Pace(speed=0.5), [1_000_000, 0, 20_000_000]),
        (Pace(speed=None), [0, 0, 0]),
        (Pace(max_gap_us=1_000_000), [500_000, 0, 1_000_000]),
        (Pace(speed=2, max_gap_us=1_000_000), [250_000, 0, 500_000]),
    ],
)
def test_the_gaps_of_the_original_make_the_waits(pace: Pace, waits_us: list[int]) -> None:
    moments_us = [0, 500_000, 500_000, 10_500_000]
    waits = [pace.wait_us(*pair) for pair in pairwise(moments_us)]
    assert waits == waits_us


def test_time_that_went_back_makes_no_wait() -> None:
    assert Pace().wait_us(5, 3) == 0


@pytest.mark.parametrize(
    ("text", "speed"), [("1", 1.0), ("0.5", 0.5), ("1000000", 1e6), ("max", None)]
)
def test_a_speed_is_a_number_or_max(text: str, speed: float | None) -> None:
    assert read_speed(text) == speed


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e3", "MAX", "1,5", "٣", "1000001"])
def test_anything_else_is_no_speed(text: str) -> None:
    with pytest.raises(BadQuery):
        read_speed(text)
