"""What may be embedded in an answer, held against Python's own parser."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from api.cursor import decode, encode
from api.json_text import is_strict, readable, value_or_text
from api.times import read_rfc3339, rfc3339

scraps = st.sampled_from(
    [
        *'{}[],:"\\ \n\t-+.eE01',
        *("NaN", "Infinity", "null", "true", '"a"', "\\ud800", "\\u00e9", "é", "1e400", "-0"),
        *("\x00", "\x7f", "\ufeff", "\u2028"),
    ]
)
texts = st.lists(scraps, max_size=8).map("".join) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
).map(json.dumps)


def refuse(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


def finite(token: str) -> float:
    value = float(token)
    return value if math.isfinite(value) else refuse(token)


@given(texts)
@example('{"a": "\\ud83d\\ude00"}')
@example('{"a": "\\ud83d"}')
@example('"\\ud800\\u0041"')
def test_embedded_text_is_what_a_strict_parser_reads(text: str) -> None:
    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode()
        strict = not text.startswith("\ufeff")
    except ValueError:
        strict = False
    assert is_strict(text.encode()) == strict


@given(texts)
def test_any_text_becomes_something_an_answer_can_hold(text: str) -> None:
    json.dumps(value_or_text(text), ensure_ascii=False, allow_nan=False).encode()


@given(st.text(st.characters()))
def test_readable_text_differs_only_where_utf8_has_to(text: str) -> None:
    shown = readable(text)
    shown.encode()
    assert len(shown) <= len(text)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert shown == text


@given(st.integers(1, 2**63 - 1))
def test_a_cursor_leads_back_to_where_it_was_made(before: int) -> None:
    assert decode(encode(before)) == before


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_moment_survives_the_wire(at_us: int) -> None:
    assert read_rfc3339(rfc3339(at_us)) == at_us


def test_moments_no_calendar_has_are_shown_at_its_ends() -> None:
    assert rfc3339(2**62) == "9999-12-31T23:59:59.999999Z"
    assert rfc3339(-(2**62)) == "0001-01-01T00:00:00.000000Z"


def test_zones_and_digits_are_understood() -> None:
    assert read_rfc3339("1970-01-01t01:00:00.0000019+01:00") == 1
    assert read_rfc3339("0001-01-01T00:00:00+23:59") == -62_135_683_140_000_000
