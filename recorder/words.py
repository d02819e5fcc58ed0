"""Text for people: what came from outside made harmless, durations and times made readable."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "–"

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (ANSI escapes begin with one), marks that turn the writing direction, surrogates,
private and unassigned characters, line and paragraph separators."""


def plain(value: object, limit: int | None = None) -> str:
    """Returns one line that does nothing to a terminal: what could is shown as an escape.

    Everything that came from outside (ids, prompts, addresses, messages) goes through here before it
    is printed.

    Args:
        value: What to show.
        limit: Most characters; a longer text ends in an ellipsis.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in _UNSAFE else char for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def duration(value_us: int | None) -> str:
    """Microseconds in the unit a person would use: `850 µs`, `340 ms`, `2.17 s`, `3 min 07 s`."""
    if value_us is None:
        return UNKNOWN
    if value_us < 0:
        return f"-{duration(-value_us)}"
    if value_us < 1_000:
        return f"{value_us} µs"
    if value_us < 9_995:
        return f"{value_us / 1_000:.1f} ms"
    if value_us < 999_500:
        return f"{value_us / 1_000:.0f} ms"
    return _seconds(value_us / 1_000_000)


def _seconds(value_s: float) -> str:
    if value_s < 9.995:
        return f"{value_s:.2f} s"
    if value_s < 59.95:
        return f"{value_s:.1f} s"
    whole = round(value_s)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"


def moment(at: int | None) -> str:
    """A time in microseconds since 1970 as `2026-11-23 06:16:21`, in UTC."""
    if at is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,204 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
