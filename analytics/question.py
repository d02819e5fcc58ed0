"""What a question is: its parameters, the columns of its answer, and how it is answered.

Every question is declared once, in a module of `analytics/questions/` beside its SQL; the HTTP routes,
the commands and the Python face are made of these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_type_hints,
)

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from analytics.asking import Snapshot
from analytics.moments import Given
from analytics.prices import Prices
from analytics.selection import Selection
from recorder.errors import BadQuery
from recorder.projections.runs import RunStatus

MAX_ROWS: Final = 100_000
"""A longer answer is refused: it is told to nobody as a whole, and would fill the memory."""

Value = TypeVar("Value")


def _split(value: object) -> object:
    """A list may be written with commas, in one text or in several; one that is not in a list is one."""
    if isinstance(value, str | int | float):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    parts = (part.split(",") if isinstance(part, str) else [part] for part in value)
    return [part for each in parts for part in each if part != ""]


def each_once(values: list[Value]) -> list[Value]:
    """Refuses a list that names something twice."""
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


Words = (BeforeValidator(_split), Field(json_schema_extra={"explode": False}))


class Asked:
    """What a question is answered from.

    Attributes:
        snapshot: The selected runs and steps.
        now_us: The moment runs still going have come to, microseconds since 1970 in UTC.
        prices: The price table that goes for whoever brings none.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        now_us: int,
        prices: Callable[[], Prices | None] = lambda: None,
    ) -> None:
        self.snapshot = snapshot
        self.now_us = now_us
        self.prices = prices


class Row(BaseModel):
    """A row of an answer; its fields are the columns."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """An answer as JSON; `rows` is narrowed to the question's rows."""

    model_config = ConfigDict(extra="forbid")

    rows: Any
    as_of_position: int = Field(description="The log position this answer is derived from.")


class Asking(BaseModel):
    """What all questions have in common.

    Attributes:
        name: What it is called, in addresses and commands.
        title: What it asks, in a few words.
        answer_model: The shape of its answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    title: ClassVar[str]
    answer_model: ClassVar[type[Answer]]

    @classmethod
    def read(cls, parameters: Mapping[str, object]) -> Self:
        """The question with these parameters.

        Raises:
            BadQuery: One of them makes no sense; the first that does not is named.
        """
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = str(first["loc"][0]) if first["loc"] else cls.name
            message = first["msg"].removeprefix("Value error, ")
            raise BadQuery(field, message[:1].lower() + message[1:]) from None


class Question(Asking):
    """A question about the runs that are selected; what is null does not narrow."""

    workflow: str | None = Field(default=None, description="Exact endpoint id.")
    node: str | None = Field(default=None, description="Exact node id.")
    app: str | None = Field(default=None, description="Exact app id.")
    status: RunStatus | None = Field(default=None, description="Exact status of the run.")
    definition: str | None = Field(default=None, description="Digest of the run's definition.")
    since: Given = Field(
        default=None, description="Of runs opened at or after: ISO 8601, or ago as 30m, 24h, 7d."
    )
    until: Given = Field(default=None, description="Of runs opened before, in the same forms.")

    @property
    def selection(self) -> Selection:
        """Which runs and steps have to be read."""
        return Selection(
            workflow=self.workflow,
            node=self.node,
            app=self.app,
            status=self.status,
            definition=self.definition,
            since=self.since,
            until=self.until,
        )

    def answer(self, asked: Asked) -> pa.Table:
        """The rows, in order; a column for every field of the question's rows.

        Raises:
            BadQuery: The answer would have more than `MAX_ROWS`.
        """
        raise NotImplementedError


def refuse_long(rows: int, field: str) -> None:
    """Refuses an answer of too many rows.

    Raises:
        BadQuery: It is one; `field` is the parameter that makes it shorter.
    """
    if rows > MAX_ROWS:
        raise BadQuery(field, f"makes an answer of more than {MAX_ROWS:,} rows; ask for less")


@cache
def schema_of(row: type[Row]) -> pa.Schema:
    """The columns of the rows, as the types of their fields have them."""
    hints = get_type_hints(row)
    return pa.schema({name: _arrow_type(hints[name]) for name in row.model_fields})


def columns_of(row: type[Row], table: pa.Table) -> pa.Table:
    """The table with the columns of the rows, in their order and types; what it does not have is NULL."""
    schema = schema_of(row)
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _arrow_type(hint: Any) -> pa.DataType:
    """The type of a column whose field is annotated so; texts are what is nothing else."""
    known = {each for each in (hint, *get_args(hint)) if each in _ARROW_TYPES}
    return _ARROW_TYPES[known.pop()] if known else pa.string()


_ARROW_TYPES: Final[dict[Any, pa.DataType]] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us"),
    Decimal: pa.decimal128(38, 18),
}

Limit = Annotated[int, Field(ge=1, le=1_000, description="Most rows of the answer.")]
Of = Literal["runs", "steps"]
