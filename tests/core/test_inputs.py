"""When two inputs are the same."""

from __future__ import annotations

import hashlib

import pytest

from recorder.inputs import canonical, digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'),
        (b'{"a": 1.0}', b'{"a": 1}'),
        (b'{"a": -0.0}', b'{"a": 0}'),
        (b'{"a": 1e3}', b'{"a": 1000}'),
        (b'{"a": "\\u00e9"}', '{"a": "é"}'.encode()),
        (b'{"a": [{"c": 1, "b": 2}]}', b'{"a":[{"b":2,"c":1}]}'),
        (b'{"a": 1, "a": 2}', b'{"a": 2}'),
    ],
)
def test_spelling_makes_no_difference(one: bytes, other: bytes) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1}', b'{"a": "1"}'),
        (b'{"a": true}', b'{"a": 1}'),
        (b'{"a": null}', b"{}"),
        (b"[1, 2]", b"[2, 1]"),
        (b'{"a": 9007199254740993}', b'{"a": 9007199254740992.0}'),
        (b'{"a": 0.1}', b'{"a": 0.10000000000000002}'),
    ],
)
def test_values_make_one(one: bytes, other: bytes) -> None:
    assert digest(one) != digest(other)


def test_a_field_can_be_left_out_of_account() -> None:
    with_seed, without = b'{"prompt": "x", "seed": 7}', b'{"prompt": "x"}'
    assert digest(with_seed, ignoring=["seed"]) == digest(without)
    assert digest(b'{"a": {"seed": 7}}', ignoring=["seed"]) == digest(b'{"a": {"seed": 7}}')


@pytest.mark.parametrize("body", [b"no JSON", b"\xff\xfe", b"[" * 10_000, b"[" * 101 + b"]" * 101])
def test_what_is_no_json_is_the_same_byte_for_byte_only(body: bytes) -> None:
    assert canonical(body) == body
    assert digest(body) == hashlib.sha256(body).hexdigest()


def test_no_input_has_no_digest() -> None:
    assert digest(b"") is None
