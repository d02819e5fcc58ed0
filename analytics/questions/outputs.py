"""Facts of outputs: images, their sizes, seeds and flags, and what was asked for again."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from analytics.moments import At
from analytics.question import (
    Answer,
    Asked,
    Limit,
    Question,
    Row,
    Words,
    columns_of,
    each_once,
    refuse_long,
)


class OutputsRow(Row):
    """A group of completed steps. What the question does not group by is null."""

    workflow: str | None
    node: str | None
    app: str | None = Field(description="null as well for steps whose app no event named.")
    steps: int = Field(description="Completed steps.")
    with_images: int = Field(description="Those that made images.")
    images: int
    sizes: int = Field(description="Different sizes of first images.")
    seeds: int = Field(description="Steps that tell their seed.")
    flagged: int = Field(description="Images flagged as not safe for work.")
    flagged_share: float | None = Field(
        description="Of the images of steps that tell flags; null where none does."
    )


class OutputsAnswer(Answer):
    """Sorted by group."""

    rows: list[OutputsRow]


class Outputs(Question):
    """What comes out of the completed steps?"""

    name: ClassVar = "outputs"
    title: ClassVar = "What comes out of steps: images, seeds, flags"
    answer_model: ClassVar = OutputsAnswer

    by: Annotated[list[Literal["workflow", "node", "app"]], *Words, AfterValidator(each_once)] = (
        Field(
            default=["workflow", "node", "app"],
            description="What to tell apart: any of workflow, node, app.",
        )
    )

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        table = asked.snapshot.ask_shortly("outputs", {"by": self.by or ["whole"]})
        refuse_long(table.num_rows, "by")
        return columns_of(OutputsRow, table)


class ImageSizeRow(Row):
    """A size of images that a node makes by an app."""

    workflow: str
    node: str
    app: str | None = Field(description="null for steps whose app no event named.")
    width: int = Field(description="Of a step's first image, in pixels.")
    height: int
    steps: int
    images: int
    share: float = Field(description="Of the node's and app's steps with a known size.")


class ImageSizesAnswer(Answer):
    """The most frequent first."""

    rows: list[ImageSizeRow]


class ImageSizes(Question):
    """How large are the images that completed steps make?"""

    name: ClassVar = "image-sizes"
    title: ClassVar = "How large images are"
    answer_model: ClassVar = ImageSizesAnswer

    limit: Limit = 100

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        return columns_of(
            ImageSizeRow, asked.snapshot.ask_shortly("image_sizes", {"limit": self.limit})
        )


class RepeatedInputRow(Row):
    """An input that several runs of a workflow have."""

    workflow: str
    input_digest: str = Field(description="Of the canonical input.")
    runs: int
    completed: int
    first_at: At | None = Field(description="When the first of them was opened.")
    last_at: At | None = Field(description="When the last of them was opened.")
    request_id: str = Field(description="The one that came to the log first.")


class RepeatedInputsAnswer(Answer):
    """The most frequent first."""

    rows: list[RepeatedInputRow]


class RepeatedInputs(Question):
    """Which inputs were sent to a workflow more than once?"""

    name: ClassVar = "repeated-inputs"
    title: ClassVar = "Inputs that were sent more than once"
    answer_model: ClassVar = RepeatedInputsAnswer

    limit: Limit = 100

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        table = asked.snapshot.ask_shortly("repeated_inputs", {"limit": self.limit})
        return columns_of(RepeatedInputRow, table)


class RepeatedSeedRow(Row):
    """A seed that several completed steps of a node tell."""

    workflow: str
    node: str
    seed: str = Field(description="In decimal; it may exceed 64 bits.")
    steps: int
    first_at: At | None = Field(description="When the run of the first of them was opened.")
    last_at: At | None = Field(description="When the run of the last of them was opened.")
    request_id: str = Field(description="The run of the first of them.")


class RepeatedSeedsAnswer(Answer):
    """The most frequent first."""

    rows: list[RepeatedSeedRow]


class RepeatedSeeds(Question):
    """Which seeds did completed steps of a node tell more than once?"""

    name: ClassVar = "repeated-seeds"
    title: ClassVar = "Seeds that came up more than once"
    answer_model: ClassVar = RepeatedSeedsAnswer

    limit: Limit = 100

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        table = asked.snapshot.ask_shortly("repeated_seeds", {"limit": self.limit})
        return columns_of(RepeatedSeedRow, table)
