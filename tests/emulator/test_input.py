from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.input_schema import Field, apply
from emulator.json_text import read_json, write_json
from emulator.problems import Invalid


def test_defaults_and_absent_optional_fields_are_filled_in() -> None:
    fields = {"p": Field(True, "string"), "n": Field(False, "integer", 3), "s": Field(False)}
    assert apply(fields, {"p": "x", "more": 1}) == {"p": "x", "n": 3, "s": None, "more": 1}


@pytest.mark.parametrize(
    ("kind", "good", "bad", "msg"),
    [
        ("string", "", 1, "str type expected"),
        ("integer", 2**64, True, "value is not a valid integer"),
        ("integer", 3.0, 3.5, "value is not a valid integer"),
        ("number", 0.5, "0.5", "value is not a valid number"),
        ("boolean", False, 0, "value is not a valid boolean"),
        ("array", [], {}, "value is not a valid list"),
        ("object", {}, [], "value is not a valid dict"),
    ],
)
def test_declared_types_are_checked(kind: str, good: Any, bad: Any, msg: str) -> None:
    fields = {"f": Field(True, kind)}
    assert apply(fields, {"f": good}) == {"f": good}
    with pytest.raises(Invalid) as caught:
        apply(fields, {"f": bad})
    assert [(p.loc, p.msg) for p in caught.value.problems] == [(("f",), msg)]


def test_every_missing_field_is_reported() -> None:
    with pytest.raises(Invalid) as caught:
        apply({"a": Field(True), "b": Field(True), "c": Field(False)}, {})
    assert caught.value.as_json() == {
        "detail": [
            {"loc": [name], "msg": "field required", "type": "value_error.missing"}
            for name in ("a", "b")
        ]
    }


def test_null_is_fine_for_an_optional_field_only() -> None:
    assert apply({"s": Field(False, "integer", 1)}, {"s": None}) == {"s": None}
    with pytest.raises(Invalid):
        apply({"s": Field(True, "integer")}, {"s": None})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'\xef\xbb\xbf{"a": 1}',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"[-1e999]",
        b"1" * 5000,
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 101 + b"1" + b"}" * 101,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_hostile_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        read_json(raw)


def test_a_hundred_levels_are_still_read() -> None:
    assert write_json(read_json(b"[" * 100 + b"]" * 100)) == "[" * 100 + "]" * 100


def test_json_is_spaced_as_python_does_and_ascii_by_default() -> None:
    assert write_json({"a": [1, "ä"]}) == '{"a": [1, "\\u00e4"]}'


def test_lone_surrogates_stay_escaped_in_utf8_output() -> None:
    value = {"a": "ä\ud800"}
    text = write_json(value, ensure_ascii=False)
    assert text == '{"a": "ä\\ud800"}'
    assert json.loads(text.encode()) == value
