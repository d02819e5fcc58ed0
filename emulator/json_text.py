"""JSON in and out: strict about what comes in, exactly fal's spacing in what goes out."""

from __future__ import annotations

import json
import math
from typing import Any

from emulator.problems import invalid

MAX_DEPTH = 100
"""Deeper documents are refused: every later walk over them may then be plain recursion."""


def read_json(raw: bytes) -> Any:
    """Parse UTF-8 JSON.

    Raises:
        Invalid: not UTF-8, not JSON, nested deeper than `MAX_DEPTH`, or holding a number that has
            no finite value (``NaN``, ``1e400``) or more digits than Python converts.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_float=_finite_float, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise invalid((error.start,), "body is not valid UTF-8", "value_error.jsondecode") from None
    except json.JSONDecodeError as error:
        raise invalid((error.pos,), str(error), "value_error.jsondecode") from None
    except ValueError:
        raise invalid((), "a number is out of range", "value_error.number.not_finite") from None
    except RecursionError:
        raise _too_deep() from None
    if _depth_exceeds(value, MAX_DEPTH):
        raise _too_deep()
    return value


def write_json(value: Any, *, ensure_ascii: bool = True) -> str:
    """Encode with Python's default separators, as fal's streams are spaced.

    With ``ensure_ascii=False`` only lone surrogates stay escaped, since UTF-8 has no form for them.
    """
    text = json.dumps(value, ensure_ascii=ensure_ascii)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, dict | list)]
    if isinstance(value, list):
        return [child for child in value if isinstance(child, dict | list)]
    return []


def _too_deep() -> Exception:
    return invalid((), f"nested deeper than {MAX_DEPTH} levels", "value_error.nesting")
