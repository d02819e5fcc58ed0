"""The shapes of the answers about what got better or worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from analytics.selection import Selection
from api.answers import path_of_run
from api.models import Model
from api.times import Moment, rfc3339

if TYPE_CHECKING:  # they load scipy
    from analytics.comparing.changes import Change, ChangesReport
    from analytics.comparing.compare import CompareReport
    from analytics.comparing.measures import Driver, GroupChange, MeasureChange

Verdict = Literal["better", "worse", "no evidence"]


class SideModel(Model):
    """What one side selects; null where it does not narrow."""

    workflow: str | None
    node: str | None
    app: str | None
    status: str | None
    definition: str | None
    since: Moment | None
    until: Moment | None

    @classmethod
    def of(cls, side: Selection) -> SideModel:
        """The wire's shape of a selection."""
        return cls(
            workflow=side.workflow,
            node=side.node,
            app=side.app,
            status=side.status,
            definition=side.definition,
            since=None if side.since is None else rfc3339(side.since),
            until=None if side.until is None else rfc3339(side.until),
        )


class TestedModel(Model):
    """Something that was tested, or could not be."""

    p_value: float | None = Field(
        description="Of the hypothesis that nothing changed; null where values are too few to test."
    )
    adjusted_p_value: float | None = Field(
        description="The same, for all tests of the answer (Holm)."
    )
    verdict: Verdict = Field(description="`no evidence` is not evidence of no change.")


class PercentileChangeModel(TestedModel):
    """How a percentile changed, in microseconds."""

    percentile: float
    a_us: float | None = Field(description="Exact; null where that side has no values.")
    b_us: float | None
    change_us: float | None = Field(description="b less a.")
    change_percent: float | None = Field(description="null where a is 0 or less.")
    low_us: float | None = Field(
        description="The 95 % confidence interval of the change; null where a side has too few values."
    )
    high_us: float | None


class ShiftModel(TestedModel):
    """Whether the values as a whole moved."""

    b_longer: float | None = Field(
        description="How often a value of b is larger than one of a; 0.5 where neither tends to be."
    )


class RateChangeModel(TestedModel):
    """How the share of failures changed, in percentage points."""

    a_failed: int
    a_ended: int
    b_failed: int
    b_ended: int
    change_points: float | None
    low_points: float | None = Field(description="The 95 % confidence interval of the change.")
    high_points: float | None


class DriverModel(Model):
    """A run that shows a change."""

    request_id: str
    value_us: int
    href: str = Field(description="Where the run is found.")

    @classmethod
    def of(cls, driver: Driver) -> DriverModel:
        """The wire's shape of a driver."""
        href = path_of_run(driver.request_id)
        return cls(request_id=driver.request_id, value_us=driver.value_us, href=href)


class MeasureChangeModel(Model):
    """How one measure changed."""

    a_count: int = Field(description="Completed steps or runs whose value is known.")
    b_count: int
    a_runs: int = Field(description="How many independent values these are worth.")
    b_runs: int
    verdict: Verdict = Field(description="`worse` where anything got worse, else `better`.")
    percentiles: list[PercentileChangeModel]
    shift: ShiftModel
    drivers: list[DriverModel] = Field(
        description="The slowest of the longer side, beyond what the other side knows."
    )

    @classmethod
    def of(cls, change: MeasureChange) -> MeasureChangeModel:
        """The wire's shape of a measure's change."""
        return cls(
            a_count=change.a_count,
            b_count=change.b_count,
            a_runs=change.a_runs,
            b_runs=change.b_runs,
            verdict=change.verdict,
            percentiles=[PercentileChangeModel.model_validate(each) for each in change.percentiles],
            shift=ShiftModel.model_validate(change.shift),
            drivers=[DriverModel.of(driver) for driver in change.drivers],
        )


class MeasuresModel(Model):
    """Measures by name; null where not asked for. Of runs there is the duration alone."""

    duration: MeasureChangeModel | None = None
    inference: MeasureChangeModel | None = None
    overhead: MeasureChangeModel | None = None


class GroupChangeModel(Model):
    """How a group of steps or a workflow's runs changed."""

    workflow: str | None = Field(description="null where not grouped by.")
    node: str | None = Field(description="null where not grouped by, and for whole runs.")
    app: str | None = Field(description="null where not grouped by, or where no event named one.")
    measures: MeasuresModel
    failures: RateChangeModel

    @classmethod
    def of(cls, group: GroupChange) -> GroupChangeModel:
        """The wire's shape of a group's changes."""
        measures = {name: MeasureChangeModel.of(each) for name, each in group.measures.items()}
        return cls(
            workflow=group.workflow,
            node=group.node,
            app=group.app,
            measures=MeasuresModel(**measures),
            failures=RateChangeModel.model_validate(group.failures),
        )


class CompareModel(Model):
    """What got better or worse from a to b."""

    a: SideModel
    b: SideModel
    by: list[str] = Field(description="What steps are grouped by.")
    runs: list[GroupChangeModel] = Field(description="Whole runs, by workflow.")
    steps: list[GroupChangeModel]
    left_out: int = Field(description="Groups beyond the thousand largest.")
    tests: int = Field(description="How many tests the verdicts are corrected for.")
    error_rate: float = Field(
        description="The share of such answers that may hold a chance verdict."
    )
    as_of_position: int

    @classmethod
    def of(cls, report: CompareReport) -> CompareModel:
        """The wire's shape of a comparison."""
        return cls(
            a=SideModel.of(report.query.a),
            b=SideModel.of(report.query.b),
            by=list(report.query.by),
            runs=[GroupChangeModel.of(group) for group in report.runs],
            steps=[GroupChangeModel.of(group) for group in report.steps],
            left_out=report.left_out,
            tests=report.tests,
            error_rate=report.error_rate,
            as_of_position=report.as_of_position,
        )


class BeforeAfterModel(Model):
    """A percentile before and after a change, in microseconds."""

    percentile: float
    before_us: float
    after_us: float
    change_us: float
    change_percent: float | None
    low_us: float | None = Field(
        description="The 95 % confidence interval of the change, as if its moment had been known."
    )
    high_us: float | None


class ChangeModel(TestedModel):
    """A change of level."""

    workflow: str
    node: str | None = Field(description="null for whole runs.")
    measure: str
    at: Moment = Field(description="When the first run after it was opened.")
    since: Moment = Field(description="Where the stretch begins that it was found in.")
    until: Moment = Field(description="When that stretch's last run was opened.")
    before_count: int
    after_count: int
    after_longer: float = Field(
        description="How often a value from after it is larger than one from before."
    )
    percentiles: list[BeforeAfterModel]
    drivers: list[DriverModel]

    @classmethod
    def of(cls, change: Change) -> ChangeModel:
        """The wire's shape of a change."""
        return cls(
            p_value=change.p_value,
            adjusted_p_value=change.adjusted_p_value,
            verdict=change.verdict,
            workflow=change.workflow,
            node=change.node,
            measure=change.measure,
            at=rfc3339(change.at),
            since=rfc3339(change.since),
            until=rfc3339(change.until),
            before_count=change.before_count,
            after_count=change.after_count,
            after_longer=change.after_longer,
            percentiles=[BeforeAfterModel.model_validate(each) for each in change.percentiles],
            drivers=[DriverModel.of(driver) for driver in change.drivers],
        )


class ChangesModel(Model):
    """When levels changed."""

    selection: SideModel
    measure: str = Field(description="Of steps; of whole runs it is the duration.")
    changes: list[ChangeModel] = Field(description="By workflow and node, whole runs last.")
    series: int = Field(description="How many series were looked through.")
    too_short: int = Field(description="How many more have fewer than 200 values.")
    left_out: int = Field(description="How many more there are beyond the largest.")
    error_rate: float = Field(
        description="The share of such answers that may hold a chance change."
    )
    as_of_position: int

    @classmethod
    def of(cls, report: ChangesReport) -> ChangesModel:
        """The wire's shape of an answer about changes."""
        return cls(
            selection=SideModel.of(report.query),
            measure=report.query.measure,
            changes=[ChangeModel.of(change) for change in report.changes],
            series=report.series,
            too_short=report.too_short,
            left_out=report.left_out,
            error_rate=report.error_rate,
            as_of_position=report.as_of_position,
        )
