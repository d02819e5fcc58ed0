"""Which small files become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analytics.segments.catalog import Segment

SMALL_ROWS: Final = 200_000
SMALL_BYTES: Final = 16 * 1024 * 1024
MANY: Final = 8
"""So many small files of a day are merged while it lasts; afterwards two are enough."""

_MERGED_ROWS: Final = 500_000
_MERGED_BYTES: Final = 4 * SMALL_BYTES
"""What is merged is sorted in memory."""


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
    rows = size_bytes = 0
    for count, each in enumerate(small):
        rows += each.rows
        size_bytes += each.size_bytes
        if count >= 2 and (rows > _MERGED_ROWS or size_bytes > _MERGED_BYTES):
            return small[:count]
    return small
