"""The heatmap: durations as they are spread, bucket by bucket."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field

from analytics.moments import At, Bucket
from analytics.question import Answer, Asked, Of, Question, Row, columns_of, refuse_long


class HeatmapRow(Row):
    """A bucket of time and a bin of durations in which there is something."""

    bucket_at: At = Field(description="When the bucket began that the runs were opened in.")
    low_us: int = Field(description="The shortest duration of the bin.")
    high_us: int = Field(description="What all durations of the bin are below.")
    n: int = Field(description="How many steps or runs.")


class HeatmapAnswer(Answer):
    """Sorted by bucket, then by duration; bins with nothing in them are not told."""

    rows: list[HeatmapRow]


class Heatmap(Question):
    """How are durations spread, as time passes? Completed steps or runs are counted.

    The bins are equally wide on a logarithmic scale.
    """

    name: ClassVar = "heatmap"
    title: ClassVar = "How durations are spread, as time passes"
    answer_model: ClassVar = HeatmapAnswer

    of: Of = Field(default="steps", description="What to count.")
    bucket: Bucket = Field(default="hour", description="How long a bucket of time is, in UTC.")
    bins: Annotated[
        int, Field(ge=1, le=50, description="How many bins a power of ten is cut into.")
    ] = 5

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        parameters = {"bucket": self.bucket, "bins": self.bins}
        table = asked.snapshot.ask_shortly(f"heatmap_of_{self.of}", parameters)
        refuse_long(table.num_rows, "bucket")
        return columns_of(HeatmapRow, table)
