"""The shape of the answer about two runs side by side."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.models import FailureModel, JsonValue, Model, StepModel
from recorder.comparison import ComparedStep, Comparison, Difference
from recorder.projections.runs import Run, RunStatus


class ChangeModel(Model):
    """One place where two JSON values differ."""

    path: str = Field(
        description='The place, as a JSON Pointer (RFC 6901); "" for the whole value.'
    )
    kind: Literal["added", "removed", "changed"] = Field(
        description="Whether only b has it, only a, or both have it and differ."
    )
    old: JsonValue = Field(description="The value in a; null where it has none.")
    new: JsonValue = Field(description="The value in b; null where it has none.")
    cut: bool = Field(
        description="Whether a value is too long to be told, and is but the beginning of its JSON text."
    )


class DifferenceModel(Model):
    """How one JSON value differs from another; the same values have no changes."""

    changes: list[ChangeModel] = Field(description="Lists are compared place by place.")
    left_out: int = Field(description="How many changes more there are.")

    @classmethod
    def of(cls, difference: Difference | None) -> DifferenceModel | None:
        """The wire's shape of a difference."""
        return None if difference is None else cls.model_validate(difference)


class ComparedRunModel(Model):
    """What of a run is compared."""

    request_id: str
    workflow: str
    status: RunStatus
    duration_us: int | None
    error: FailureModel | None

    @classmethod
    def of(cls, run: Run) -> ComparedRunModel:
        """The wire's shape of one side."""
        return cls(
            request_id=run.request_id,
            workflow=run.workflow,
            status=run.status,
            duration_us=run.duration_us,
            error=FailureModel.of(run.error),
        )


class ComparedStepModel(Model):
    """A step in both runs, or in one."""

    node_id: str
    attempt: int
    a: StepModel | None = Field(description="null where a has no such step.")
    b: StepModel | None = Field(description="null where b has no such step.")
    duration_delta_us: int | None = Field(description="How much longer b took.")
    inference_delta_us: int | None = Field(description="How much more inference b had.")
    output: DifferenceModel | None = Field(description="null where one of them is not recorded.")

    @classmethod
    def of(cls, step: ComparedStep) -> ComparedStepModel:
        """The wire's shape of a step of both."""
        return cls(
            node_id=step.node_id,
            attempt=step.attempt,
            a=None if step.a is None else StepModel.of(step.a),
            b=None if step.b is None else StepModel.of(step.b),
            duration_delta_us=step.duration_delta_us,
            inference_delta_us=step.inference_delta_us,
            output=DifferenceModel.of(step.output),
        )


class ComparisonModel(Model):
    """Two runs side by side."""

    a: ComparedRunModel
    b: ComparedRunModel
    same_outcome: bool = Field(description="Whether both have the same status.")
    duration_delta_us: int | None = Field(description="How much longer b took.")
    input: DifferenceModel | None = Field(description="null where one of them is not recorded.")
    output: DifferenceModel | None = Field(description="null where one of them is not recorded.")
    steps: list[ComparedStepModel] = Field(
        description="Matched by node and attempt; in the order of a, then those only b has."
    )

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonModel:
        """The wire's shape of a comparison."""
        return cls(
            a=ComparedRunModel.of(comparison.a),
            b=ComparedRunModel.of(comparison.b),
            same_outcome=comparison.same_outcome,
            duration_delta_us=comparison.duration_delta_us,
            input=DifferenceModel.of(comparison.input),
            output=DifferenceModel.of(comparison.output),
            steps=[ComparedStepModel.of(step) for step in comparison.steps],
        )
