"""What is hidden in the synthetic history for a report to find, and where."""

from __future__ import annotations

from typing import Final

import msgspec

from cli.demo.history.load import HOUR_US
from cli.demo.history.workloads import POSTER, STICKER, VOICE_OVER

_SLOWER: Final = 1.6


class Slowdown(msgspec.Struct, frozen=True):
    """From a moment on, a node's app works this many times as long; the definition stays.

    Moments are microseconds since 1970 in UTC.
    """

    workflow: str
    node_id: str
    at: int
    factor: float


class Change(msgspec.Struct, frozen=True):
    """From a moment on, a workflow has another definition."""

    workflow: str
    at: int
    before: str
    after: str


class Burst(msgspec.Struct, frozen=True):
    """For a while, a share of a node's steps fails with a status."""

    workflow: str
    node_id: str
    since: int
    until: int
    share: float
    status: int


class Planted(msgspec.Struct, frozen=True):
    """All that is planted in a history."""

    slowdown: Slowdown
    change: Change
    bursts: tuple[Burst, ...]


def plant(window: tuple[int, int], before: str, after: str) -> Planted:
    """Plants in a window, always at the same parts of it.

    Args:
        window: From and until, microseconds since 1970.
        before: Digest of the definition that is replaced.
        after: Digest of the one that replaces it.
    """
    since, until = window

    def at(part: float) -> int:
        return round(since + (until - since) * part) // HOUR_US * HOUR_US

    def lasting(part: float, begin: int) -> int:
        return begin + max(HOUR_US, round((until - since) * part))

    broken, rejected = at(0.55), at(0.85)
    return Planted(
        Slowdown(STICKER, "cutout", at(0.7), _SLOWER),
        Change(POSTER, at(0.4), before, after),
        (
            Burst(STICKER, "sticker", broken, lasting(0.005, broken), 0.4, 503),
            Burst(VOICE_OVER, "speak", rejected, lasting(0.01, rejected), 0.5, 422),
        ),
    )
