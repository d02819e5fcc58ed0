"""Latency: percentiles of steps and of runs, each with a confidence interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from analytics.asking import Snapshot
from analytics.grouped import read_grouped
from analytics.moments import At, Bucket
from analytics.quantiles import Values, rows_of_values, values_of_lists
from analytics.question import (
    Answer,
    Asked,
    Of,
    Question,
    Row,
    Words,
    columns_of,
    each_once,
    refuse_long,
)

Dimension = Literal["workflow", "node", "app", "status", "definition"]
Measure = Literal["duration", "inference", "overhead", "first_event", "queued"]
Percentile = Annotated[float, Field(gt=0, lt=100)]

_DIMENSIONS: Final[dict[Of, list[Dimension]]] = {
    "steps": ["workflow", "node", "app", "status", "definition"],
    "runs": ["workflow", "status", "definition"],
}
_BY: Final[dict[Of, list[Dimension]]] = {
    "steps": ["workflow", "node", "app"],
    "runs": ["workflow"],
}
_MEASURES: Final[dict[Of, list[Measure]]] = {
    "steps": ["duration", "inference", "overhead"],
    "runs": ["duration", "first_event", "queued"],
}

Percentiles = Annotated[
    list[Percentile],
    *Words,
    AfterValidator(each_once),
    Field(min_length=1, max_length=20, description="Above 0, below 100, with commas between."),
]
Confidence = Annotated[
    float,
    Field(
        gt=0, lt=1, description="The least probability that a percentile lies within its interval."
    ),
]


class LatencyRow(Row):
    """A percentile of a measure of a group. What the question does not group by is null."""

    workflow: str | None
    node: str | None
    app: str | None = Field(description="null as well for steps whose app no event named.")
    status: str | None = Field(description="Status of the run.")
    definition: str | None = Field(description="null as well for runs without one.")
    bucket_at: At | None = Field(
        description="When the bucket of time the runs were opened in began."
    )
    measure: Measure
    n: int = Field(description="How many values are known.")
    mean_us: float | None
    max_us: int | None
    percentile: float
    value_us: float | None = Field(description="Exact, interpolated between neighbouring values.")
    low_us: int | None = Field(description="The interval's lower end; null where n is too small.")
    high_us: int | None = Field(description="The interval's upper end; null where n is too small.")


class LatencyAnswer(Answer):
    """Sorted by group, then by measure and percentile as asked for."""

    rows: list[LatencyRow]


class Percentiled(Question):
    """A question about percentiles of groups."""

    bucket: Bucket | None = Field(
        default=None, description="Tell apart when runs were opened, in buckets of UTC's calendar."
    )
    percentiles: Percentiles = Field(default=[50.0, 90.0, 95.0, 99.0])
    confidence: Confidence = 0.95


class Latency(Percentiled):
    """How long do steps or whole runs take?

    Only completed steps and runs are measured. A question that selects or groups runs by status
    measures all runs whose end is known.
    """

    name: ClassVar = "latency"
    title: ClassVar = "How long steps or runs take"
    answer_model: ClassVar = LatencyAnswer

    of: Of = Field(default="steps", description="What to measure.")
    by: Annotated[list[Dimension] | None, *Words] = Field(
        default=None,
        description="What to tell apart: any of workflow, node, app, status (the run's), definition; of "
        "runs not node and app. By default workflow, node and app, or workflow.",
    )
    measures: Annotated[list[Measure] | None, *Words] = Field(
        default=None,
        description="Of steps any of duration, inference, overhead; of runs any of duration, "
        "first_event, queued. By default all.",
    )

    @field_validator("by", "measures")
    @classmethod
    def _fit(cls, given: list[str] | None, info: ValidationInfo) -> list[str] | None:
        of: Of = info.data.get("of", "steps")
        fitting: list[str] = [*(_DIMENSIONS if info.field_name == "by" else _MEASURES)[of]]
        if given is not None and not set(given) <= set(fitting):
            raise ValueError(f"of {of} any of {', '.join(fitting)}")
        return None if given is None else each_once(given)

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        by: list[str] = [*(_BY[self.of] if self.by is None else self.by)]
        any_status = self.status is not None or "status" in by
        return percentiles(asked, self, self.of, by, self.measures, any_status=any_status)


class FirstEvent(Percentiled):
    """How long until fal's first event of a run? Completed runs are measured."""

    name: ClassVar = "first-event"
    title: ClassVar = "How long until a run's first event"
    answer_model: ClassVar = LatencyAnswer

    by: Annotated[
        list[Literal["workflow", "status", "definition"]], *Words, AfterValidator(each_once)
    ] = Field(
        default=["workflow"], description="What to tell apart: any of workflow, status, definition."
    )

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        any_status = self.status is not None or "status" in self.by
        return percentiles(asked, self, "runs", [*self.by], ["first_event"], any_status=any_status)


def percentiles(
    asked: Asked,
    question: Percentiled,
    of: Of,
    by: list[str],
    measures: list[Measure] | None,
    *,
    any_status: bool,
) -> pa.Table:
    """The rows of `LatencyRow`."""
    keys = [*by, *(["bucket_at"] if question.bucket else [])]
    parameters: dict[str, object] = {"by": keys or ["whole"], "bucket": question.bucket or "day"}
    if of == "runs":
        parameters["any_status"] = any_status
    told = []
    for measure, groups, values in _values(
        asked.snapshot, of, parameters, measures or _MEASURES[of]
    ):
        refuse_long(groups.num_rows * len(question.percentiles), "bucket")
        rows = rows_of_values(groups, values, question.percentiles, question.confidence)
        told.append(rows.append_column("measure", pa.array([measure] * rows.num_rows, pa.string())))
    every = pa.concat_tables(told)
    if keys:
        every = every.sort_by([(key, "ascending") for key in keys])
    return columns_of(LatencyRow, every)


def _values(
    snapshot: Snapshot, of: Of, parameters: dict[str, object], measures: list[Measure]
) -> Iterator[tuple[Measure, pa.Table, Values]]:
    """Each measure with its groups and values; one alone as lists, several at once (values_of_steps.sql)."""
    if len(measures) == 1:
        [measure] = measures
        lists = snapshot.ask(f"latency_of_{of}", parameters | {"measure": f"{measure}_us"})
        yield measure, lists.drop_columns(["values_us"]), values_of_lists(lists, "values_us")
        return
    differs = {"duration", "inference", "overhead"} <= set(measures)
    read = [f"{each}_us" for each in measures if each != "overhead" or not differs]
    grouped = read_grouped(snapshot, of, parameters, read)
    for measure in measures:
        if measure == "overhead" and differs:
            yield measure, grouped.groups, grouped.differences("duration_us", "inference_us")
        else:
            yield measure, grouped.groups, grouped.values(f"{measure}_us")
