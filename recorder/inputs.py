"""When two inputs are the same: canonical form and digest of a run's input.

Two inputs are the same where their JSON values are: order of keys, white space, escapes, and whether a
whole number is written `1` or `1.0` make no difference (RFC 8785 draws the line likewise). What is not
JSON is the same only byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any, Final

_MAX_DEPTH: Final = 100
_WHOLE: Final = 2**53
"""Beyond this a float no longer tells one integer from the next."""


def digest(body: bytes, *, ignoring: Collection[str] = ()) -> str | None:
    """Names an input: the sha256 of its canonical form, in hex; None for an empty body.

    Args:
        body: The request's body as it was sent.
        ignoring: Top-level fields that do not count, such as `seed`.
    """
    if not body:
        return None
    return hashlib.sha256(canonical(body, ignoring=ignoring)).hexdigest()


def canonical(body: bytes, *, ignoring: Collection[str] = ()) -> bytes:
    """The canonical form; the body itself where it is not JSON, or nested too deeply. Total."""
    try:
        value = _plain(json.loads(body), _MAX_DEPTH)
        if isinstance(value, dict):
            value = {name: each for name, each in value.items() if name not in ignoring}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return body
    return text.encode()


def _plain(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {name: _plain(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, depth - 1) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _WHOLE:
        return int(value)
    return value
