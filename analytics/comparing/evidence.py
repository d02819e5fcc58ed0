"""Verdicts, and how the many tests of one answer are kept from finding something by chance.

All tests of one answer are one family: every percentile and shift of every measure of every group, and
every failure rate. Their p-values are adjusted by Holm, "A simple sequentially rejective multiple test
procedure" (Scand. J. Stat. 6, 1979): in at least 95 % of answers not one verdict is chance, however many
tests there are, whatever they have to do with one another, and whether or not something else did change.
(Benjamini and Hochberg's procedure finds a little more, but beside a real change it lets the share of
answers with a false one grow: a few verdicts that are chance stand beside each real one.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
import numpy as np

Verdict = Literal["better", "worse", "no evidence"]

ERROR_RATE: Final = 0.05
"""The share of answers that may hold a verdict that is chance."""
LEAST_RUNS: Final = 20
"""Independent values a side, below which nothing is tested."""


class Tested(msgspec.Struct, kw_only=True):
    """Something that was tested, or could not be; `judge` fills in the last two.

    Attributes:
        p_value: Of the hypothesis that nothing changed; None where there are too few values to test.
        adjusted_p_value: The same for the whole family of tests.
        verdict: `worse` is longer or more often failed; `no evidence` is not evidence of no change.
    """

    p_value: float | None = None
    adjusted_p_value: float | None = None
    verdict: Verdict = "no evidence"

    @property
    def direction(self) -> float:
        """Above 0 where b is worse than a."""
        raise NotImplementedError


def judge(family: Iterable[Tested], *, others: int = 0) -> int:
    """Gives the tests of one family their adjusted p-values and verdicts.

    Args:
        family: Those with and without a p-value; the latter are not counted.
        others: How many tests more belong to the family, which found nothing.

    Returns:
        How many tests the family has.
    """
    tested = [each for each in family if each.p_value is not None]
    count = len(tested) + others
    p_values = np.array([each.p_value for each in tested], dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    weighed = p_values[order] * (count - np.arange(len(tested)))
    for place, adjusted in zip(order, np.maximum.accumulate(weighed), strict=True):
        each = tested[place]
        each.adjusted_p_value = min(1.0, float(adjusted))
        if each.adjusted_p_value <= ERROR_RATE and each.direction:
            each.verdict = "worse" if each.direction > 0 else "better"
    return count


def overall(tests: Sequence[Tested]) -> Verdict:
    """One word for several tests of the same thing: whatever got worse counts first."""
    verdicts = {each.verdict for each in tests}
    if "worse" in verdicts:
        return "worse"
    return "better" if "better" in verdicts else "no evidence"
