"""Cost: what steps cost by a price table."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema, field_validator

from analytics.asking import Snapshot
from analytics.moments import At
from analytics.prices import GivenPrices, no_prices
from analytics.question import (
    Answer,
    Asked,
    Limit,
    Question,
    Row,
    Words,
    columns_of,
    each_once,
)

Dimension = Literal["app", "workflow", "day", "run"]
_COLUMNS: Final[dict[Dimension, str]] = {
    "app": "app",
    "workflow": "workflow",
    "day": "day",
    "run": "request_id",
}


_NO_RUNS: Final = pa.table({"run": pa.array([], pa.uint64())})


def _plainly(amount: Decimal) -> str:
    return f"{amount:f}".rstrip("0").rstrip(".") if amount % 1 else f"{amount:.0f}"


Money = Annotated[
    Decimal,
    PlainSerializer(_plainly, when_used="json"),
    WithJsonSchema({"type": "string", "format": "decimal"}),
]


class CostRow(Row):
    """A group of completed steps. What the question does not group by is null."""

    app: str | None = Field(description="null as well for steps whose app no event named.")
    workflow: str | None
    day: At | None = Field(description="The day the runs were opened on, in UTC.")
    request_id: str | None
    steps: int = Field(description="Completed steps: no others are charged for.")
    cost: Money | None = Field(
        description="Of the steps with a known cost, exact; null where there is none."
    )
    currency: str | None = Field(description="As the price table names it; null without a table.")
    unpriced_steps: int = Field(description="Steps of apps that have no price.")
    unknown_steps: int = Field(
        description="Steps of which something their price goes by is not known."
    )


class CostAnswer(Answer):
    """The dearest first; groups without a known cost last."""

    rows: list[CostRow]


class Cost(Question):
    """What do the completed steps cost, by a price table?

    Nothing is guessed: apps without a price are told as unpriced, and what cannot be known is counted,
    never taken for 0.
    """

    name: ClassVar = "cost"
    title: ClassVar = "What steps cost by a price table"
    answer_model: ClassVar = CostAnswer

    by: Annotated[list[Dimension], *Words, AfterValidator(each_once)] = Field(
        default=["app"], description="What to tell apart: any of app, workflow, day, run."
    )
    prices: GivenPrices = Field(
        default=None,
        description='A price table as JSON: {"currency": "USD", "apps": {"fal-ai/fast-sdxl": {"per": '
        '"inference_second", "price": "0.00111"}}}, per being request, image, megapixel, inference_second '
        "or duration_second. By default the recorder's own.",
        json_schema_extra={"type": "string"},
    )
    limit: Limit = 1_000

    @field_validator("by")
    @classmethod
    def _fit(cls, by: list[Dimension]) -> list[Dimension]:
        if "run" in by and "app" in by:
            raise ValueError("run goes together with workflow and day, not with app")
        return by

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        prices = self.prices or asked.prices()
        table = prices.as_table() if prices else no_prices()
        with asked.snapshot.lent("prices", table):
            table = self._costs(asked.snapshot, table)
        currency = pa.array([prices.currency if prices else None] * table.num_rows, pa.string())
        return columns_of(CostRow, table.append_column("currency", currency))

    def _costs(self, snapshot: Snapshot, prices: pa.Table) -> pa.Table:
        candidates = _NO_RUNS
        if "run" in self.by:
            candidates = snapshot.ask_shortly("dearest_runs", {"limit": self.limit})
        by = [_COLUMNS[name] for name in self.by] or ["whole"]
        # With several prices of an app, some steps lack what one goes by and some what another does. Telling
        # them apart takes a sixth more time, so it is done only there.
        has_several = len(prices.column("app").unique()) < prices.num_rows
        parameters = {
            "by": by,
            "parts": [*by, "app", *(["missing"] if has_several else [])],
            "limit": self.limit,
            # Where fewer runs have a price than are asked for, others make up the rest.
            "every_run": candidates.num_rows < self.limit,
            "units": prices.column("per").unique().to_pylist(),
        }
        with snapshot.lent("candidates", candidates):
            return snapshot.ask_shortly("cost", parameters)
