"""What of the bytes we recorded may stand in a JSON answer as it is.

An answer is strict JSON that every parser reads: UTF-8, no NaN, no unpaired surrogates even as
escapes, no number a parser would turn into infinity. Names that occur twice in an object are valid
and stay as they came.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_MAX_LEVELS: Final = 100
"""pydantic's serializer gives up at about 255."""

_HUGE_INTEGER: Final = re.compile(rb"[0-9]{309}")
"""Integers from this length on do not fit a double; within a string it does no harm to be strict."""

_decode = msgspec.json.Decoder().decode


class _NotStrict(Exception):
    """This text may not be embedded."""


def is_strict(text: bytes) -> bool:
    """Whether this JSON text may be embedded verbatim."""
    try:
        _read(text)
    except _NotStrict:
        return False
    return True


def _read(text: bytes) -> Any:
    if _HUGE_INTEGER.search(text):
        raise _NotStrict
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _NotStrict from None


def readable(text: str) -> str:
    """The text with unpaired surrogates replaced by U+FFFD, so that UTF-8 can hold it."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def value_or_text(text: str) -> Any:
    """The JSON value a text stands for; the text itself where it is not strict JSON."""
    try:
        value = _read(text.encode("utf-8", "surrogatepass"))
    except _NotStrict:
        return readable(text)
    return value if _is_within(value, _MAX_LEVELS) else readable(text)


def _is_within(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(child, levels - 1) for child in children)
