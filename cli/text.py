"""Text on the terminal; what reports have in common with it is in `recorder.words`."""

from __future__ import annotations

from recorder.words import UNKNOWN, count, duration, moment, plain

__all__ = ["UNKNOWN", "count", "duration", "moment", "plain", "short_workflow", "size"]


def size(value_bytes: int) -> str:
    """A number of bytes, readable: `812 B`, `3.4 kB`, `2.1 MB`."""
    if value_bytes < 1_000:
        return f"{value_bytes} B"
    if value_bytes < 999_950:
        return f"{value_bytes / 1_000:.1f} kB"
    return f"{value_bytes / 1_000_000:.1f} MB"


def short_workflow(workflow: str) -> str:
    """A workflow id without the part all have in common."""
    return plain(workflow.removeprefix("workflows/")) or UNKNOWN
