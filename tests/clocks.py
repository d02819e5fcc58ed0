"""Clocks that stand still until a test moves them."""

from __future__ import annotations

NOVEMBER_2023_US = 1_700_000_000_000_000
"""Some moment, microseconds since 1970 in UTC."""


class ManualClock:
    """Both clocks of `recorder.clock.Clock`, moved by hand.

    Args:
        now_us: Wall clock, microseconds since 1970 in UTC.
        monotonic_us: Microseconds since some moment.
    """

    def __init__(self, now_us: int = NOVEMBER_2023_US, monotonic_us: int = 0) -> None:
        self._now_us = now_us
        self._monotonic_us = monotonic_us

    def now_us(self) -> int:
        return self._now_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def advance(self, us: int) -> None:
        """Time passes, on both clocks."""
        self._now_us += us
        self._monotonic_us += us

    def set_wall(self, now_us: int) -> None:
        """The wall clock is put right, or wrong; the monotonic one does not notice."""
        self._now_us = now_us
