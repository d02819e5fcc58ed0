"""Failures of runs and steps, by what went wrong."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from analytics.moments import At
from analytics.question import Answer, Asked, Limit, Of, Question, Row, columns_of


class ErrorRow(Row):
    """A kind of failure of runs, or of the steps of an app."""

    of: Of = Field(
        description="Whether runs or steps are counted: most failed steps fail a run too."
    )
    kind: str = Field(description="fal's type of the first detail, the close reason, or `error`.")
    app: str | None = Field(description="null for runs, and for steps whose app no event named.")
    field: str | None = Field(description="The field that the first detail names.")
    failures: int
    share: float = Field(description="Of all selected runs or steps, whatever became of them.")
    share_of_app: float | None = Field(description="Of all selected steps of that app.")
    runs: int = Field(description="In how many runs.")
    first_at: At | None = Field(description="When the first of those runs was opened.")
    last_at: At | None = Field(description="When the last of those runs was opened.")
    request_id: str = Field(description="The run of the last of them.")
    status: int | None = Field(description="HTTP status of the last of them.")
    message: str | None = Field(description="Of the last of them, one line.")


class ErrorsAnswer(Answer):
    """Runs before steps, and of each the most frequent first."""

    rows: list[ErrorRow]


class Errors(Question):
    """What goes wrong, where, and how often?"""

    name: ClassVar = "errors"
    title: ClassVar = "What goes wrong, by kind, app and field"
    answer_model: ClassVar = ErrorsAnswer

    limit: Limit = 100

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        return columns_of(ErrorRow, asked.snapshot.ask_shortly("errors", {"limit": self.limit}))
