"""JSON as Python's `json` reads it: NaN, unpaired surrogates, keys that stand twice."""

from __future__ import annotations

import json
from typing import Final

_MAX_INTEGER_DIGITS: Final = 4_000
"""Python refuses to read longer integers."""


def loads(text: str | bytes) -> object:
    """Reads JSON; integers too long for Python read as infinite.

    Raises:
        ValueError: It is no JSON, not even for Python, or no UTF-8.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)
