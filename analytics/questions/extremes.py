"""The runs and steps that stand out: the slowest, and the most unusual."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field

from analytics.moments import At
from analytics.question import Answer, Asked, Limit, Of, Question, Row, columns_of


class SlowRow(Row):
    """A run or a step. What only steps have is null for runs."""

    request_id: str = Field(description="The run, or the step's run.")
    workflow: str
    node: str | None
    attempt: int | None
    app: str | None
    status: str = Field(description="Of the run or step.")
    opened_at: At | None = Field(description="When the run was opened.")
    duration_us: int
    inference_us: int | None
    overhead_us: int | None
    link: str = Field(description="Where this service has the run.")


class UnusualRow(SlowRow):
    """A run or a step, and how far it is from what is usual."""

    score: float = Field(description="The robust z-score; above 0 slow, below 0 fast.")
    typical_us: float = Field(
        description="The median of its workflow, of a step of its node there."
    )
    n: int = Field(description="How many runs or steps that is of.")


class SlowestAnswer(Answer):
    """The slowest first."""

    rows: list[SlowRow]


class UnusualAnswer(Answer):
    """The most unusual first."""

    rows: list[UnusualRow]


class Slowest(Question):
    """Which runs or steps took longest? However they ended, where their duration is known."""

    name: ClassVar = "slowest"
    title: ClassVar = "The slowest runs or steps"
    answer_model: ClassVar = SlowestAnswer

    of: Of = Field(default="runs", description="What to look for.")
    limit: Limit = 20

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        table = asked.snapshot.ask_shortly(f"slowest_{self.of}", {"limit": self.limit})
        return columns_of(SlowRow, table)


class Unusual(Question):
    """Which completed runs or steps took unusually long or short, for their workflow or node?

    By the modified z-score of Iglewicz and Hoaglin (1993) of the logarithm of the duration.
    """

    name: ClassVar = "unusual"
    title: ClassVar = "The most unusual runs or steps"
    answer_model: ClassVar = UnusualAnswer

    of: Of = Field(default="runs", description="What to look for.")
    score: Annotated[
        float, Field(gt=0, le=1_000, description="The least score, above or below 0.")
    ] = 3.5
    least: Annotated[
        int, Field(ge=3, description="Workflows and nodes with fewer are not judged.")
    ] = 10
    limit: Limit = 20

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        snapshot = asked.snapshot
        usual = snapshot.ask_shortly(f"usual_{self.of}", {"least": self.least})
        parameters = {"limit": self.limit, "score": self.score}
        if 0 in usual.column("scale").to_pylist():
            with snapshot.lent("usual", usual):
                usual = snapshot.ask_shortly(f"usual_spread_of_{self.of}")
        with snapshot.lent("usual", usual):
            return columns_of(UnusualRow, snapshot.ask_shortly(f"unusual_{self.of}", parameters))
