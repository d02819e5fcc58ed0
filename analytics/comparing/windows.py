"""Which two sides are meant: windows, definitions or cohorts, told apart by what only one side is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from analytics.selection import Selection
from recorder.errors import BadQuery

Previous = Literal["previous"]

DAY_US: Final = 24 * 3_600 * 1_000_000
USUAL_WINDOW_US: Final = 7 * DAY_US


def two_sides(
    both: Selection,
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    compare: Previous | None,
    now_us: int,
) -> tuple[Selection, Selection]:
    """The sides of a comparison.

    Args:
        both: What both sides have in common.
        a: What only the one side has, by the fields of a selection; None is as if not given.
        b: The same of the other.
        compare: `previous` makes `both`'s window that of b, and gives a the one just before it, of the
            same length. So it is where nothing tells the sides apart.
        now_us: Where a window without an end ends; one without a start is seven days long.

    Raises:
        BadQuery: The sides make no sense, or are the same.
    """
    of_a, of_b = _given(a), _given(b)
    if compare is not None and (name := _window_of(of_a, of_b)):
        raise BadQuery("compare", f"tells the windows already; leave out {name}")
    if compare is not None or not (of_a or of_b):
        before, after = with_previous(both, now_us)
    else:
        before = after = both
    before, after = _with(before, of_a, "a_"), _with(after, of_b, "b_")
    if before == after:
        raise BadQuery("b", "selects the same as a")
    return before, after


def with_previous(wanted: Selection, now_us: int) -> tuple[Selection, Selection]:
    """The window before, and the window itself with both ends.

    Raises:
        BadQuery: The window ends before it starts.
    """
    until = now_us if wanted.until is None else wanted.until
    since = until - USUAL_WINDOW_US if wanted.since is None else wanted.since
    _check(since, until, "")
    return (
        msgspec.structs.replace(wanted, since=since - (until - since), until=since),
        msgspec.structs.replace(wanted, since=since, until=until),
    )


def _given(side: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in side.items() if value is not None}


def _window_of(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    given = [f"{side}_{name}" for side, names in (("a", a), ("b", b)) for name in names]
    return next((name for name in given if name.endswith(("_since", "_until"))), None)


def _with(side: Selection, given: Mapping[str, Any], prefix: str) -> Selection:
    _check(given.get("since", side.since), given.get("until", side.until), prefix)
    return msgspec.structs.replace(side, **given)


def _check(since: int | None, until: int | None, prefix: str) -> None:
    if since is not None and until is not None and since >= until:
        raise BadQuery(f"{prefix}since", f"is not before {prefix}until")
