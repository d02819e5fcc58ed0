"""What can be asked about what got better or worse. Light: the answers load scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from analytics.latency import DIMENSIONS, Dimension
from analytics.selection import Selection
from recorder.errors import BadQuery

Measure = Literal["duration", "inference", "overhead"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
BY: Final[tuple[Dimension, ...]] = ("workflow", "node")
MOST_PERCENTILES: Final = 20


class CompareQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare.

    Attributes:
        a, b: The two sides; b is looked at for what is better or worse than in a. Runs in both weaken
            the evidence for any change.
        by: Dimensions that tell groups of steps apart. Runs are always told apart by workflow.
        measures: Of steps; of runs it is always their duration.
        percentiles: Each between 0 and 100, both excluded.

    Raises:
        BadQuery: A part of it makes no sense; its field is named.
    """

    a: Selection
    b: Selection
    by: tuple[Dimension, ...] = BY
    measures: tuple[Measure, ...] = MEASURES
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        check_names("by", self.by, DIMENSIONS)
        check_names("measures", self.measures, MEASURES)
        check_percentiles(self.percentiles)
        if self.a == self.b:
            raise BadQuery("b", "selects the same as a")


def check_names(field: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raises BadQuery unless these are some of the known names, each once."""
    if not names or not set(names) <= set(known) or len(set(names)) != len(names):
        raise BadQuery(field, f"names each of {', '.join(known)} at most once, and one at least")


def check_percentiles(percentiles: Sequence[float]) -> None:
    """Raises BadQuery unless they are some, and between 0 and 100."""
    if not 1 <= len(percentiles) <= MOST_PERCENTILES or len(set(percentiles)) != len(percentiles):
        raise BadQuery("percentiles", f"are 1 to {MOST_PERCENTILES} different numbers")
    if not all(0 < percentile < 100 for percentile in percentiles):
        raise BadQuery("percentiles", "lie between 0 and 100")


class ChangesQuery(Selection, frozen=True, kw_only=True):
    """What to look through.

    Attributes:
        measure: Of steps; of runs it is always their duration.
        percentiles: To tell before and after; each between 0 and 100, both excluded.

    Raises:
        BadQuery: A part of it makes no sense; its field is named.
    """

    measure: Measure = "duration"
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names("measure", (self.measure,), MEASURES)
        check_percentiles(self.percentiles)


def numbers(field: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between.

    Raises:
        BadQuery: One of them is none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadQuery(field, "is not numbers with commas between") from None
