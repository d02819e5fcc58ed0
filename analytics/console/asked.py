"""What is asked of the console, and what it answers."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from analytics.relations import Kind

Form = Literal["json", "csv", "parquet", "arrow"]

MIB: Final = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a query may use up.

    Attributes:
        rows: The answer has no more rows; what is beyond is left out, and the answer says so.
        result_bytes: Of the answer, in the form asked for.
        memory_bytes: Of its process, shared libraries aside.
        time_s: From the question to its answer, on the clock.
        cpu_s: Of all its threads together.
    """

    rows: int = 10_000
    result_bytes: int = 64 * MIB
    memory_bytes: int = 1024 * MIB
    time_s: float = 30.0
    cpu_s: float = 60.0


LOWEST: Final = Limits(rows=0, result_bytes=1, memory_bytes=64 * MIB, time_s=0.001, cpu_s=0.001)
HIGHEST: Final = Limits(
    rows=10_000_000, result_bytes=1024 * MIB, memory_bytes=4096 * MIB, time_s=600.0, cpu_s=1_200.0
)
"""What a question may ask for."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question.

    Attributes:
        sql: One statement that reads.
        parameters: For `$name`, by name, or for `?`, in order; plain JSON values.
        format: Of the answer.
        limits: What it may use up.
    """

    sql: str
    parameters: dict[str, Any] | list[Any] = {}
    format: Form = "json"
    limits: Limits = Limits()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a question, beside its bytes.

    Attributes:
        rows: How many there are.
        truncated: Whether there were more than the limit.
        as_of_position: The log position it is derived from.
        elapsed_us: What it took.
    """

    rows: int
    truncated: bool
    as_of_position: int
    elapsed_us: int


class Needed(msgspec.Struct, frozen=True, tag="needed"):
    """The relations a question reads; said by its process, before it reads any."""

    relations: list[Kind]


class Fed(msgspec.Struct, frozen=True, tag="fed"):
    """All relations have been handed over, as of this position of the log."""

    as_of_position: int


class Supplied(msgspec.Struct, frozen=True, tag="supplied"):
    """A relation: files to read it from, and the rest of it, which follows as an Arrow IPC stream.

    Attributes:
        relation: Its name.
        files: Parquet files.
        not_counting: Runs whose rows in the files do not count.
    """

    relation: Kind
    files: list[str] = []
    not_counting: list[str] = []


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """There is no answer; `out_of_memory` where the reason is that."""

    message: str
    out_of_memory: bool = False


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The answer is whole."""

    answer: Answer


Word = Needed | Fed | Supplied | Failed | Done
