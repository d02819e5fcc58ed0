"""Cursors of pages: opaque to clients, a log position to us."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from recorder.errors import BadQuery

_PREFIX: Final = b"before:"
_MAX_CHARACTERS: Final = 64
MAX_INTEGER: Final = 2**63 - 1
"""The largest both databases take."""


def encode(before: int | None) -> str | None:
    """The cursor of the next page; None on the last."""
    if before is None:
        return None
    return base64.urlsafe_b64encode(_PREFIX + str(before).encode()).decode().rstrip("=")


def decode(cursor: str | None) -> int | None:
    """Where the page begins.

    Raises:
        BadQuery: It is not a cursor of ours.
    """
    if cursor is None:
        return None
    before = _number(cursor) if len(cursor) <= _MAX_CHARACTERS else None
    if before is None or encode(before) != cursor or not 1 <= before <= MAX_INTEGER:
        raise BadQuery("cursor", "is not one of ours")
    return before


def _number(cursor: str) -> int | None:
    try:
        decoded = base64.urlsafe_b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}")
    except (ValueError, binascii.Error):
        return None
    digits = decoded.removeprefix(_PREFIX)
    return int(digits) if digits.isdigit() and digits != decoded else None
