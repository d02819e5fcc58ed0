from __future__ import annotations

import pytest

from cli import text


@pytest.mark.parametrize(
    ("value_us", "shown"),
    [
        (None, "–"),
        (0, "0 µs"),
        (999, "999 µs"),
        (1_000, "1.0 ms"),
        (9_994, "10.0 ms"),
        (9_995, "10 ms"),
        (340_000, "340 ms"),
        (999_499, "999 ms"),
        (999_500, "1.00 s"),
        (2_170_000, "2.17 s"),
        (9_994_999, "9.99 s"),
        (9_995_000, "10.0 s"),
        (59_949_999, "59.9 s"),
        (59_950_000, "1 min 00 s"),
        (187_000_000, "3 min 07 s"),
        (3_599_600_000, "1 h 00 min"),
        (7_500_000_000, "2 h 05 min"),
        (-2_100, "-2.1 ms"),
    ],
)
def test_a_duration_is_shown_in_the_unit_a_person_would_use(
    value_us: int | None, shown: str
) -> None:
    assert text.duration(value_us) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("größer 猫 🦊", "größer 猫 🦊"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),
        ("nul\0", "nul\\x00"),
        (7, "7"),
    ],
)
def test_text_from_outside_can_do_nothing_to_a_terminal(given: object, shown: str) -> None:
    assert text.plain(given) == shown


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert text.plain("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("at", "shown"),
    [(None, "–"), (0, "1970-01-01 00:00:00"), (10**30, "–"), (-(10**30), "–")],
)
def test_a_moment_is_shown_in_utc(at: int | None, shown: str) -> None:
    assert text.moment(at) == shown


@pytest.mark.parametrize(
    ("value_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")],
)
def test_a_size_is_shown_in_the_unit_a_person_would_use(value_bytes: int, shown: str) -> None:
    assert text.size(value_bytes) == shown


def test_counts_agree_with_their_noun() -> None:
    assert [text.count(n, "run") for n in (0, 1, 1_204)] == ["0 runs", "1 run", "1,204 runs"]
