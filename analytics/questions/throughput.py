"""Throughput: runs that begin and end, by bucket of time."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from analytics.moments import At, Bucket
from analytics.question import (
    MAX_ROWS,
    Answer,
    Asked,
    Question,
    Row,
    Words,
    columns_of,
    each_once,
    refuse_long,
)


class ThroughputRow(Row):
    """A bucket of time and a group. What the question does not group by is null."""

    bucket_at: At = Field(description="When the bucket began.")
    workflow: str | None
    status: str | None = Field(description="Status of the run as it is now.")
    definition: str | None = Field(description="null as well for runs without one.")
    opened: int = Field(description="Runs that began.")
    finished: int = Field(description="Runs that ended, however.")
    completed: int
    failed: int
    interrupted: int
    cancelled: int


class ThroughputAnswer(Answer):
    """Sorted by bucket, without holes from the first in which anything happened to the last."""

    rows: list[ThroughputRow]


class Throughput(Question):
    """How many runs begin and end?

    A run counts in the bucket in which it was opened and in the one in which it was closed, by the wall
    clock; where one is not known it does not count there.
    """

    name: ClassVar = "throughput"
    title: ClassVar = "How many runs begin and end"
    answer_model: ClassVar = ThroughputAnswer

    bucket: Bucket = Field(default="hour", description="How long a bucket of time is, in UTC.")
    by: Annotated[
        list[Literal["workflow", "status", "definition"]], *Words, AfterValidator(each_once)
    ] = Field(default=[], description="What to tell apart: any of workflow, status, definition.")

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        by: list[str] = [*self.by]
        parameters = {"by": by or ["whole"], "bucket": self.bucket, "most": MAX_ROWS + 1}
        table = asked.snapshot.ask_shortly("throughput", parameters)
        refuse_long(table.num_rows, "bucket")
        return columns_of(ThroughputRow, table)
