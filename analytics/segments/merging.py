"""Which small files become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analytics.segments.catalog import Segment

SMALL_ROWS: Final = 200_000
SMALL_BYTES: Final = 32 * 1024 * 1024
MANY: Final = 8
"""So many small files of a day are merged while it lasts; afterwards two are enough."""

_MERGED_BYTES: Final = 4 * SMALL_BYTES


def to_merge(segments: Sequence[Segment], *, today: str) -> list[Segment]:
    """Small files of one kind and day to be merged, the smallest first; none where nothing needs it.

    What is merged is small itself until it has grown, so a row is written a few times at most.
    """
    groups: dict[tuple[str, str], list[Segment]] = {}
    for each in segments:
        if each.rows < SMALL_ROWS and each.size_bytes < SMALL_BYTES:
            groups.setdefault((each.kind, each.day), []).append(each)
    for (_, day), small in sorted(groups.items()):
        if len(small) >= (MANY if day >= today else 2):
            return _bounded(sorted(small, key=lambda each: (each.rows, each.name)))
    return []


def _bounded(small: list[Segment]) -> list[Segment]:
    size_bytes, taken = 0, 0
    while taken < len(small) and (taken < 2 or size_bytes < _MERGED_BYTES):
        size_bytes += small[taken].size_bytes
        taken += 1
    return small[:taken]
