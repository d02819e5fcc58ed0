from __future__ import annotations

from typing import Any

import pytest

from analytics.comparing.windows import DAY_US, two_sides
from analytics.selection import Selection
from recorder.errors import BadQuery

NOW_US = 100 * DAY_US


def sides(
    a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **both: Any
) -> tuple[Selection, Selection]:
    compare = both.pop("compare", None)
    return two_sides(Selection(**both), a or {}, b or {}, compare=compare, now_us=NOW_US)


def window(first_day: float, last_day: float, **fields: Any) -> Selection:
    return Selection(since=round(first_day * DAY_US), until=round(last_day * DAY_US), **fields)


def test_nothing_given_compares_the_last_seven_days_with_those_before() -> None:
    assert sides() == (window(86, 93), window(93, 100))
    assert sides(compare="previous") == sides()


def test_the_previous_window_is_as_long_and_ends_where_the_window_begins() -> None:
    before, after = sides(compare="previous", since=90 * DAY_US, until=91 * DAY_US, node="a")
    assert (before, after) == (window(89, 90, node="a"), window(90, 91, node="a"))


def test_what_one_side_alone_has_is_put_over_what_both_have() -> None:
    a, b = sides({"definition": "old", "node": None}, {"definition": "new"}, workflow="w")
    assert a == Selection(workflow="w", definition="old")
    assert b == Selection(workflow="w", definition="new")
    assert sides({"until": 5}, {"since": 5}) == (Selection(until=5), Selection(since=5))


def test_definitions_of_two_windows_are_compared_too() -> None:
    a, b = sides(
        {"definition": "old"}, {"definition": "new"}, compare="previous", since=99 * DAY_US
    )
    assert (a, b) == (window(98, 99, definition="old"), window(99, 100, definition="new"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"since": 5, "until": 5}, "since: is not before until"),
        ({"since": NOW_US + 1}, "since: is not before until"),
        ({"a": {"since": 5, "until": 4}}, "a_since: is not before a_until"),
        ({"b": {"until": 5}, "since": 5}, "b_since: is not before b_until"),
        (
            {"b": {"since": 5}, "compare": "previous"},
            "compare: tells the windows already; leave out b_since",
        ),
        ({"a": {"node": "x"}, "b": {"node": "x"}}, "b: selects the same as a"),
    ],
)
def test_sides_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadQuery, match=f"^{message}$"):
        sides(**given)
