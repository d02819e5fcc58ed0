"""What the SQL console takes and gives, for the documentation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from analytics.console.asked import HIGHEST, LOWEST, Limits

_DEFAULT = Limits()


class SqlLimitsModel(BaseModel):
    """What a query may use up."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(
        _DEFAULT.rows,
        ge=LOWEST.rows,
        le=HIGHEST.rows,
        description="Rows of the answer; what is beyond is left out, and `truncated` says so.",
    )
    result_bytes: int = Field(
        _DEFAULT.result_bytes, ge=LOWEST.result_bytes, le=HIGHEST.result_bytes
    )
    memory_bytes: int = Field(
        _DEFAULT.memory_bytes, ge=LOWEST.memory_bytes, le=HIGHEST.memory_bytes
    )
    time_s: float = Field(_DEFAULT.time_s, ge=LOWEST.time_s, le=HIGHEST.time_s)
    cpu_s: float = Field(
        _DEFAULT.cpu_s, ge=LOWEST.cpu_s, le=HIGHEST.cpu_s, description="Of all threads together."
    )


class SqlModel(BaseModel):
    """A query over `runs`, `steps` and `events`."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(description="One statement that reads, in DuckDB's SQL.")
    parameters: dict[str, Any] | list[Any] = Field(
        default={}, description="For `$name`, by name; or for `?`, in order."
    )
    format: Literal["json", "csv", "parquet", "arrow"] = Field(
        default="json", description="Of the answer; `arrow` is an IPC stream."
    )
    limits: SqlLimitsModel | None = None


def body_schema() -> dict[str, Any]:
    """The schema of `SqlModel`, in one piece."""
    schema = SqlModel.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["limits"] = definitions[
        "SqlLimitsModel"
    ]  # it may be left out, not be null
    return schema


class SqlColumnModel(BaseModel):
    """A column of an answer."""

    name: str
    type: str = Field(description="In DuckDB's words.")


class SqlAnswerModel(BaseModel):
    """An answer in JSON."""

    columns: list[SqlColumnModel]
    rows: list[list[Any]] = Field(
        description="Values in the order of the columns; see docs/sql.md."
    )
    row_count: int
    truncated: bool = Field(description="Whether there were more rows than the limit.")
    as_of_position: int = Field(description="The log position this answer is derived from.")
    elapsed_us: int
