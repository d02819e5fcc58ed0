"""Concurrency: how many runs and steps are at work at a time, and what that does to latency."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
from pydantic import Field

from analytics.moments import At, Bucket, edges
from analytics.quantiles import percentile_rows
from analytics.question import (
    Answer,
    Asked,
    Question,
    Row,
    columns_of,
    refuse_long,
)
from analytics.questions.latency import Confidence, Percentiles
from analytics.selection import Selection
from analytics.sweeping import Ints, levels, others_under_way
from recorder.events import lift

_LENGTHS_US: Final[dict[Bucket, int]] = {
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 7 * 86_400_000_000,
    "month": 28 * 86_400_000_000,
}


class ConcurrencyRow(Row):
    """A bucket of time."""

    bucket_at: At = Field(description="When the bucket began.")
    runs_max: int = Field(description="The most runs at work at a time.")
    runs_mean: float = Field(description="Runs at work, weighted by time.")
    steps_max: int = Field(description="The most steps at work at a time.")
    steps_mean: float = Field(description="Steps at work, weighted by time.")


class ConcurrencyAnswer(Answer):
    """Sorted by bucket, without holes."""

    rows: list[ConcurrencyRow]


class Concurrency(Question):
    """How many of the selected runs and steps are at work at a time?

    A run is at work from its opening for its duration, a step from its submit to its finish; unfinished
    steps to the end of their run, and what goes on up to now. What has no known times is left out, and of
    a bucket only the part counts that lies after `since`, before `until` and before now.
    """

    name: ClassVar = "concurrency"
    title: ClassVar = "How many runs and steps are at work at a time"
    answer_model: ClassVar = ConcurrencyAnswer

    bucket: Bucket = "hour"

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        runs = _at_work(asked, "runs", {})
        steps = _at_work(asked, "steps", {"measure": "duration_us", "node": None, "app": None})
        both = [one for one in (runs, steps) if one.num_rows]
        if not both:
            return columns_of(ConcurrencyRow, _rows(np.zeros(1, np.int64), runs, steps))
        first = min(_ints(one, "begin_us").min() for one in both)
        last = max(_ints(one, "end_us").max() for one in both)
        first = max(first, self.since if self.since is not None else first)
        last = min(last, asked.now_us, self.until if self.until is not None else last)
        first = min(first, last)
        refuse_long((last - first) // _LENGTHS_US[self.bucket], "bucket")
        return columns_of(ConcurrencyRow, _rows(self._edges(int(first), int(last)), runs, steps))

    def _edges(self, first: int, last: int) -> Ints:
        """The bounds of the buckets; the outer ones moved inwards where only a part counts."""
        bounds = edges(first, max(first, last - 1), self.bucket)
        if self.since is not None:
            bounds[0] = max(bounds[0], min(self.since, bounds[1] - 1))
        return bounds


def _rows(bounds: Ints, runs: pa.Table, steps: pa.Table) -> pa.Table:
    columns: dict[str, Any] = {"bucket_at": pa.array(bounds[:-1]).cast(pa.timestamp("us"))}
    for name, table in (("runs", runs), ("steps", steps)):
        highest, mean = np.zeros(0, np.int64), np.zeros(0)
        if len(bounds) > 1:
            highest, mean = levels(_ints(table, "begin_us"), _ints(table, "end_us"), bounds)
        columns |= {f"{name}_max": highest, f"{name}_mean": mean}
    return pa.table(columns)


class LoadRow(Row):
    """A percentile of the steps of an app that were submitted under such a load."""

    app: str | None = Field(description="null for steps whose app no event named.")
    others_from: int = Field(description="The fewest others at work at the step's submit.")
    others_to: int = Field(description="The most.")
    n: int = Field(description="How many values are known.")
    mean_us: float | None
    max_us: int | None
    percentile: float
    value_us: float | None = Field(description="Exact, interpolated between neighbouring values.")
    low_us: int | None = Field(description="The interval's lower end; null where n is too small.")
    high_us: int | None = Field(description="The interval's upper end; null where n is too small.")


class LoadAnswer(Answer):
    """Sorted by app, then by load."""

    rows: list[LoadRow]


class Load(Question):
    """How long do steps take while many others are at work?

    For each completed step the others at work at its submit are counted: the steps of its app, or the runs.
    Only what the question selects is seen, so narrow by time, not by workflow; `node` and `app` narrow what
    is measured, not what is counted.
    """

    name: ClassVar = "load"
    title: ClassVar = "How long steps take while others are at work"
    answer_model: ClassVar = LoadAnswer

    count: Literal["steps", "runs"] = Field(
        "steps", description="What is counted as at work: steps of the same app, or runs."
    )
    measure: Literal["duration", "inference", "overhead"] = "duration"
    percentiles: Percentiles = [50.0, 95.0]
    confidence: Confidence = 0.95

    @property
    def selection(self) -> Selection:
        """See `Question.selection`."""
        return msgspec.structs.replace(super().selection, node=None, app=None)

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        steps = _at_work(
            asked,
            "steps",
            {"measure": f"{self.measure}_us", "node": lift(self.node), "app": lift(self.app)},
        )
        loads = self._loads(asked, steps)
        with asked.snapshot.lent("loads", loads):
            groups = asked.snapshot.ask("latency_by_load")
        refuse_long(groups.num_rows * len(self.percentiles), "percentiles")
        rows = percentile_rows(groups, "values_us", self.percentiles, self.confidence)
        return columns_of(
            LoadRow, rows.sort_by([("app", "ascending"), ("others_from", "ascending")])
        )

    def _loads(self, asked: Asked, steps: pa.Table) -> pa.Table:
        """The measured steps, each with the range its load is in."""
        begins, ends = _ints(steps, "begin_us"), _ints(steps, "end_us")
        encoded = steps.column("app").combine_chunks().dictionary_encode()
        app = encoded.indices.to_numpy().astype(np.int64)
        measured = steps.column("value_us").is_valid().to_numpy()
        if self.count == "steps":
            of_app = app[measured]
            others = others_under_way(of_app, begins[measured], begins, ends, app)
            others -= ends[measured] > begins[measured]
        else:
            runs = _at_work(asked, "runs", {})
            none, run_begins = np.zeros(int(measured.sum()), np.int64), _ints(runs, "begin_us")
            others = others_under_way(
                none,
                begins[measured],
                run_begins,
                _ints(runs, "end_us"),
                np.zeros(len(run_begins), np.int64),
            )
            others = np.maximum(others - 1, 0)  # its own
        low, high = _ranges(others)
        return pa.table(
            {
                "app": steps.column("app").filter(pa.array(measured)),
                "others_from": low,
                "others_to": high,
                "value_us": steps.column("value_us").filter(pa.array(measured)),
            }
        )


def _ranges(others: Ints) -> tuple[Ints, Ints]:
    """The range each number is in: 0, 1, 2, 3 to 4, 5 to 8, 9 to 16 and so on."""
    exponent = np.ceil(np.log2(np.maximum(others, 1))).astype(np.int64)
    high = np.where(others > 1, 2**exponent, others)
    return np.where(others > 2, high // 2 + 1, others), high


def _at_work(asked: Asked, of: str, parameters: dict[str, object]) -> pa.Table:
    return asked.snapshot.ask(f"{of}_at_work", {"now_us": asked.now_us, **parameters})


def _ints(table: pa.Table, name: str) -> Ints:
    column: Ints = table.column(name).to_numpy()
    return column
