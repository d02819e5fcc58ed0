"""Moments on the wire: RFC 3339 outside, microseconds since 1970 in UTC inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_US: Final = 60_000_000
_EIGHT_DIGITS: Final = 100_000_000
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE_TIME: Final = {"type": "string", "format": "date-time"}


def rfc3339(at_us: int) -> str:
    """A moment as `2025-01-31T12:00:00.000000Z`."""
    minute, us = divmod(at_us, _MINUTE_US)
    try:
        digits = str(_EIGHT_DIGITS + us)  # a 1, the seconds, and below; faster than two formats
        return f"{_to_the_minute(minute)}{digits[1:3]}.{digits[3:]}Z"
    except OverflowError:  # a clock that far off is shown at the end of the calendar
        moment = datetime.min if at_us < 0 else datetime.max
        return f"{moment.isoformat(timespec='microseconds')}Z"


@lru_cache(maxsize=1_024)
def _to_the_minute(minute: int) -> str:
    """`2025-01-31T12:00:`; kept, as runs of a page are of few minutes and the calendar takes the most time."""
    return (_EPOCH + timedelta(minutes=minute)).isoformat()[:17]


def read_rfc3339(value: object) -> int:
    """Microseconds since 1970 in UTC; digits below a microsecond are cut off.

    Raises:
        ValueError: It is not RFC 3339 with a zone, or no such moment exists.
    """
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise ValueError("is not RFC 3339 with a zone, as 2025-01-31T12:00:00Z (write + as %2B)")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError("is not a moment of the calendar") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)


Moment = Annotated[str, WithJsonSchema(_DATE_TIME)]
"""A moment in an answer."""

MomentParameter = Annotated[int, BeforeValidator(read_rfc3339), WithJsonSchema(_DATE_TIME)]
"""A moment in a query; RFC 3339 on the wire, microseconds since 1970 in UTC for us."""
