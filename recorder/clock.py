"""The two clocks a recording is stamped with."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where stamps come from; tests bring their own."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970 in UTC. May jump."""

    def monotonic_us(self) -> int:
        """Microseconds since some moment. Never goes back."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return time.time_ns() // 1_000

    def monotonic_us(self) -> int:
        """See `Clock.monotonic_us`."""
        return time.monotonic_ns() // 1_000
