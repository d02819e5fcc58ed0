"""What is tested of one measure of one group: its percentiles and its shift; and of its failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from analytics.comparing.evidence import LEAST_RUNS, Tested, Verdict, overall
from analytics.comparing.intervals import Sample, change_of_percentile, change_of_rate
from analytics.comparing.queries import Measure
from analytics.comparing.sides import Group, Outcomes

_MOST_RANKED: Final = 50_000
"""Values a side that are ranked for the shift; of more, as many at even ranks stand for all."""


class PercentileChange(Tested, kw_only=True):
    """How one percentile changed.

    Attributes:
        percentile: Between 0 and 100.
        a_us, b_us: On either side, exact, interpolated linearly; None where that side has no values.
        change_us: b less a.
        change_percent: The same as a share of a; None where a is 0 or below.
        low_us, high_us: The 95 % confidence interval of `change_us`, not adjusted for other tests; None
            where a side has too few values for a limit.
    """

    percentile: float
    a_us: float | None = None
    b_us: float | None = None
    change_us: float | None = None
    change_percent: float | None = None
    low_us: float | None = None
    high_us: float | None = None

    @property
    def direction(self) -> float:
        """Above 0 where b takes longer."""
        return self.change_us or 0.0


class Shift(Tested, kw_only=True):
    """Whether values as a whole moved.

    Attributes:
        b_longer: How often a value of b is larger than one of a, ties counted half: 0.5 where neither
            side tends to be larger; None where a side has no values.
    """

    b_longer: float | None = None

    @property
    def direction(self) -> float:
        """Above 0 where b takes longer."""
        return 0.0 if self.b_longer is None else self.b_longer - 0.5


class RateChange(Tested, kw_only=True):
    """How the share of what failed changed.

    Attributes:
        a_failed, a_ended, b_failed, b_ended: Counts; the first are among the second.
        change_points: b's rate less a's, in percentage points; None where a side has none.
        low_points, high_points: The 95 % confidence interval of that.
    """

    a_failed: int
    a_ended: int
    b_failed: int
    b_ended: int
    change_points: float | None = None
    low_points: float | None = None
    high_points: float | None = None

    @property
    def direction(self) -> float:
        """Above 0 where b fails more often."""
        return self.change_points or 0.0


class Driver(msgspec.Struct, frozen=True):
    """A run that shows a change, and its value."""

    request_id: str
    value_us: int


class MeasureChange(msgspec.Struct, kw_only=True):
    """How one measure of one group changed.

    Attributes:
        a_count, b_count: Completed steps or runs whose value is known.
        a_runs, b_runs: How many independent values these are worth: fewer where a run has several.
        percentiles: As asked for.
        shift: Of all values.
        drivers: Where something changed, the slowest of the longer side, beyond the other side's value.
    """

    a_count: int
    b_count: int
    a_runs: int
    b_runs: int
    percentiles: list[PercentileChange]
    shift: Shift
    drivers: list[Driver] = msgspec.field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """`worse` where anything got worse, else `better` where anything got better."""
        return overall([*self.percentiles, self.shift])

    def tests(self) -> Iterator[Tested]:
        """All that was tested."""
        yield from self.percentiles
        yield self.shift


class GroupChange(msgspec.Struct, kw_only=True):
    """How a group of steps, or a workflow's runs, changed.

    Attributes:
        workflow, node, app: The group; None where it is not told apart, or has no app.
        measures: By name.
        failures: Of steps, those failed among those that completed or failed; of runs, those failed or
            interrupted among all that ended but those whose client left.
    """

    workflow: str | None
    node: str | None
    app: str | None
    measures: dict[Measure, MeasureChange]
    failures: RateChange

    @property
    def key(self) -> Group:
        """The group alone."""
        return Group(self.workflow, self.node, self.app)

    def tests(self) -> Iterator[Tested]:
        """All that was tested."""
        for measure in self.measures.values():
            yield from measure.tests()
        yield self.failures


def change_of_measure(
    a: Sample | None, b: Sample | None, percentiles: Sequence[float]
) -> MeasureChange:
    """Tests a measure; `judge` has yet to give the verdicts."""
    change = MeasureChange(
        a_count=0 if a is None else len(a.values),
        b_count=0 if b is None else len(b.values),
        a_runs=0 if a is None else a.independent,
        b_runs=0 if b is None else b.independent,
        percentiles=[_percentile(a, b, percentile) for percentile in percentiles],
        shift=Shift(),
    )
    if a is not None and b is not None:
        change.shift = _shift(a, b)
    return change


def _percentile(a: Sample | None, b: Sample | None, percentile: float) -> PercentileChange:
    at_a = None if a is None else a.percentile(percentile)
    at_b = None if b is None else b.percentile(percentile)
    change = PercentileChange(percentile=percentile, a_us=at_a, b_us=at_b)
    if a is None or b is None or at_a is None or at_b is None:
        return change
    change.change_us = round(at_b - at_a, 3)
    change.change_percent = round(change.change_us / at_a * 100, 3) if at_a > 0 else None
    if _enough(a.independent, b.independent):
        interval = change_of_percentile(a, b, percentile)
        change.low_us, change.high_us = interval.low, interval.high
        change.p_value = interval.p_value
    return change


def _shift(a: Sample, b: Sample) -> Shift:
    """Tests all values at once, by `scipy.stats.mannwhitneyu`.

    Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the
    other" (Ann. Math. Stat. 18, 1947).
    """
    ranked_a, ranked_b = _spread(a.values), _spread(b.values)
    test = stats.mannwhitneyu(ranked_b, ranked_a, method="asymptotic")
    shift = Shift(b_longer=round(float(test.statistic) / (len(ranked_a) * len(ranked_b)), 6))
    if _enough(a.independent, b.independent):
        worth = min(_worth(a), _worth(b))
        # Values that depend on one another vary as fewer independent ones would (Kish's design effect).
        shift.p_value = float(2 * stats.norm.sf(stats.norm.isf(test.pvalue / 2) * worth**0.5))
    return shift


def _spread(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # Values at even ranks vary less than as many drawn at random, so the test errs to the safe side.
    if len(values) <= _MOST_RANKED:
        return values
    return values[np.linspace(0, len(values) - 1, _MOST_RANKED).astype(np.int64)]


def _worth(sample: Sample) -> float:
    return sample.independent / len(sample.values)


def change_of_failures(a: Outcomes | None, b: Outcomes | None) -> RateChange:
    """Fisher's exact test, by `scipy.stats.fisher_exact`.

    Where a run has several steps of the group, counts are divided by the design effect first: Rao and
    Scott, "A simple method for the analysis of clustered binary data" (Biometrics 48, 1992).
    """
    a, b = a or Outcomes(0, 0, 0), b or Outcomes(0, 0, 0)
    change = RateChange(a_failed=a.failed, a_ended=a.ended, b_failed=b.failed, b_ended=b.ended)
    if not a.ended or not b.ended:
        return change
    change.change_points = round((b.failed / b.ended - a.failed / a.ended) * 100, 6)
    if _enough(a.independent, b.independent):
        failed_a, failed_b = _worth_failed(a), _worth_failed(b)
        low, high = change_of_rate(failed_a, a.independent, failed_b, b.independent)
        change.low_points, change.high_points = round(low * 100, 6), round(high * 100, 6)
        table = [[failed_a, a.independent - failed_a], [failed_b, b.independent - failed_b]]
        change.p_value = float(stats.fisher_exact(table).pvalue)
    return change


def _worth_failed(outcomes: Outcomes) -> int:
    return round(outcomes.failed * outcomes.independent / outcomes.ended)


def _enough(a: int, b: int) -> bool:
    return min(a, b) >= LEAST_RUNS
