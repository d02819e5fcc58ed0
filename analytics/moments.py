"""Moments: how people write them, how answers show them, and the buckets of time they fall into."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Bucket = Literal["minute", "hour", "day", "week", "month"]
"""Calendar units of UTC; a week begins on Monday."""

LENGTHS_US: Final[dict[Bucket, int]] = {
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 7 * 86_400_000_000,
    "month": 28 * 86_400_000_000,
}
"""How long a bucket is at least."""

_AGO: Final = re.compile(r"(\d{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NO_MOMENT: Final = "is no time; give 2026-11-23T06:00:00Z, 2026-11-23, 7d, 12h or 30m"
_MONDAY: Final = np.timedelta64(4, "D")  # 1970-01-01 was a Thursday, and numpy's weeks begin there


def read_moment(value: object, *, now: datetime | None = None) -> int | None:
    """Reads a time: ISO 8601, a bare date, or so long ago (`7d`, `12h`, `30m`, `45s`, `2w`).

    A time without an offset is taken as UTC; digits below a microsecond are cut off.

    Args:
        value: The text; a `datetime`, or microseconds since 1970, are taken as they are.
        now: What `ago` counts from; by default now.

    Returns:
        Microseconds since 1970 in UTC; None for None.

    Raises:
        ValueError: It is none of these.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, datetime):
        return _us(value)
    text = value.strip() if isinstance(value, str) else ""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            passed = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return _us((now or datetime.now(UTC)) - passed)
        return _us(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError(_NO_MOMENT) from None


def _us(at: datetime) -> int:
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return (at - EPOCH) // timedelta(microseconds=1)


def shown(at: datetime) -> str:
    """A moment of a relation (UTC without a zone) as `2025-01-31T12:00:00.000000Z`."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


Given = Annotated[int | None, BeforeValidator(read_moment), WithJsonSchema({"type": "string"})]
"""A moment in a question: see `read_moment`."""

At = Annotated[
    datetime,
    PlainSerializer(shown, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in an answer."""


def edges(first_us: int, last_us: int, bucket: Bucket) -> NDArray[np.int64]:
    """The beginnings of the buckets from that of `first_us` to the one after that of `last_us`."""
    first, last = _floor(first_us, bucket), _floor(last_us, bucket)
    if bucket == "month":
        months = np.arange(first.astype("M8[M]"), last.astype("M8[M]") + 2)
        return months.astype("M8[us]").astype(np.int64)
    length_us = LENGTHS_US[bucket]
    begin = int(first.astype(np.int64))
    return np.arange(begin, int(last.astype(np.int64)) + length_us + 1, length_us)


def _floor(at_us: int, bucket: Bucket) -> Any:
    at = np.datetime64(at_us, "us")
    if bucket == "week":
        return (at - _MONDAY).astype("M8[W]").astype("M8[us]") + _MONDAY
    unit = {"minute": "m", "hour": "h", "day": "D", "month": "M"}[bucket]
    return at.astype(f"M8[{unit}]").astype("M8[us]")
