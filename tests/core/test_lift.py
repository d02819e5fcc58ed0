"""Ids on their way into a column: themselves, or their digest."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.events import MAX_LIFTED_BYTES, MAX_LIFTED_CHARACTERS, lift
from tests.core.test_events import shortened


def _digest(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "a" * 512,
        "\u00e9" * 512,
        "\U0001f600" * 256,
        "\u20ac" * 341,
        "a b/c\n\x7f",
        "\ud7ff\ue000",
    ],
    ids=shortened,
)
def test_an_id_that_fits_a_column_is_lifted_as_it_is(value: str | None) -> None:
    assert lift(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "a" * 513,
        "\u00e9" * 513,
        "\U0001f600" * 257,
        "\U0001f600" * 512,
        "\u20ac" * 342,
        "\0",
        "a\0b",
        "\ud800",
        "\U0001f600\udfff",
    ],
    ids=shortened,
)
def test_an_id_that_fits_no_column_is_lifted_as_its_digest(value: str) -> None:
    assert lift(value) == _digest(value)


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1), st.integers(1, 600))
def test_what_is_lifted_fits_a_column_and_stays_when_lifted_again(text: str, times: int) -> None:
    value = (text * times)[:600]
    lifted = lift(value)
    assert lifted is not None
    assert lifted in (value, _digest(value))
    assert len(lifted) <= MAX_LIFTED_CHARACTERS
    assert len(lifted.encode()) <= MAX_LIFTED_BYTES
    assert "\0" not in lifted
    assert lift(lifted) == lifted
