"""Concurrency: how many runs and steps are at work at a time, and what that does to latency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from analytics.grouped import UNKNOWN, Grouped
from analytics.growing import Growing
from analytics.moments import LENGTHS_US, At, Bucket, edges
from analytics.quantiles import rows_of_values
from analytics.question import (
    Answer,
    Asked,
    Question,
    Row,
    columns_of,
    refuse_long,
    schema_of,
)
from analytics.questions.latency import Confidence, Percentiles
from analytics.selection import Selection
from analytics.sweeping import Ints, levels, under_way
from recorder.events import lift

_RANGES: Final = 64
"""More than there are ranges of loads."""


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

    bucket: Bucket = Field(default="hour", description="How long a bucket of time is, in UTC.")

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        runs, steps = _at_work(asked, "runs"), _at_work(asked, "steps")
        known = [work for work in (runs, steps) if len(work.begins_us)]
        if not known:
            return columns_of(ConcurrencyRow, schema_of(ConcurrencyRow).empty_table())
        limit = min(asked.now_us, self.until if self.until is not None else asked.now_us)
        first = min(int(work.begins_us.min()) for work in known)
        first = max(first, self.since if self.since is not None else first)
        last = min(max(int(work.ends_us.max()) for work in known), limit)
        if first > last:
            return columns_of(ConcurrencyRow, schema_of(ConcurrencyRow).empty_table())
        refuse_long((last - first) // LENGTHS_US[self.bucket], "bucket")
        begins = edges(first, max(first, last - 1), self.bucket)
        bounds = self._counted(begins, limit)
        columns: dict[str, Any] = {"bucket_at": begins[:-1]}
        for name, work in (("runs", runs), ("steps", steps)):
            columns[f"{name}_max"], columns[f"{name}_mean"] = levels(
                work.begins_us, work.ends_us, bounds
            )
        return columns_of(ConcurrencyRow, pa.table(columns))

    def _counted(self, begins: Ints, limit: int) -> Ints:
        """The buckets' bounds, the outer ones moved to where the time that counts begins and ends."""
        bounds = begins.copy()
        if self.since is not None:
            bounds[0] = max(bounds[0], self.since)
        bounds[-1] = max(min(bounds[-1], limit), bounds[-2] + 1)
        return bounds


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
        default="steps", description="What is counted as at work: steps of the same app, or runs."
    )
    measure: Literal["duration", "inference", "overhead"] = Field(
        default="duration", description="What of them is measured."
    )
    percentiles: Percentiles = Field(default=[50.0, 95.0])
    confidence: Confidence = 0.95

    @property
    def selection(self) -> Selection:
        """See `Question.selection`."""
        return msgspec.structs.replace(super().selection, node=None, app=None)

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        grouped = self._by_load(asked)
        refuse_long(grouped.groups.num_rows * len(self.percentiles), "percentiles")
        values = grouped.values("value_us")
        rows = rows_of_values(grouped.groups, values, self.percentiles, self.confidence)
        rows = rows.sort_by([("app", "ascending"), ("others_from", "ascending")])
        return columns_of(LoadRow, rows)

    def _by_load(self, asked: Asked) -> Grouped:
        """The values of the measured steps, by app and by the range their load is in."""
        work, steps = self._steps(asked)
        load = _exponent(self._others(asked, work, steps.app))
        del work  # of ten million steps 160 MB, which are wanted for what comes
        place = steps.app * np.int32(_RANGES) + (load + np.int8(1))
        known = place[steps.value_us != UNKNOWN]
        counts = np.bincount(known, minlength=len(steps.apps) * _RANGES)
        told = np.flatnonzero(counts)
        low, high = _range(told % _RANGES - 1)
        app = steps.apps.take(pa.array(told // _RANGES))
        groups = pa.table({"app": app, "others_from": low, "others_to": high})
        # What is in a place where no value is known may go to any group.
        few = np.uint16 if len(told) <= np.iinfo(np.uint16).max else np.int64
        of = np.maximum(np.cumsum(counts > 0) - 1, 0).astype(few)[place]
        return Grouped(groups, of, {"value_us": steps.value_us})

    def _others(self, asked: Asked, work: _Work, app: NDArray[np.int32]) -> NDArray[np.int32]:
        """How many others are at work at the submit of each; the times are used up."""
        if self.count == "runs":
            return np.maximum(_runs_under_way(asked, work.begins_us) - 1, 0)  # its own
        itself = work.ends_us > work.begins_us
        others = under_way(app, work.begins_us, work.begins_us, work.ends_us, app)
        others -= itself
        return others

    def _steps(self, asked: Asked) -> tuple[_Work, _Steps]:
        parameters = {
            "now_us": asked.now_us,
            "measure": f"{self.measure}_us",
            "node": lift(self.node),
            "app": lift(self.app),
        }
        hashes: dict[int, int] = {}

        def read(batches: Iterator[pa.RecordBatch]) -> tuple[_Work, NDArray[np.int32], Ints]:
            begins, ends, values = Growing(np.int64), Growing(np.int64), Growing(np.int64)
            apps = Growing(np.int32)
            for batch in batches:
                begins.add(batch.column("begin_us").to_numpy())
                ends.add(batch.column("end_us").to_numpy())
                values.add(pc.fill_null(batch.column("value_us"), UNKNOWN).to_numpy())
                app = batch.column("app").dictionary_encode()
                codes = [hashes.setdefault(one, len(hashes)) for one in app.dictionary.to_pylist()]
                apps.add(np.array(codes, np.int32)[app.indices.to_numpy()])
            return _Work(begins.whole(), ends.whole()), apps.whole(), values.whole()

        work, app, values = asked.snapshot.gather("steps_under_load", read, parameters)
        names = asked.snapshot.ask_shortly("apps_of_steps")
        place = pc.index_in(pa.array(hashes, pa.uint64()), value_set=names.column("hash"))
        return work, _Steps(app, values, names.column("app").take(place))


class _Steps(msgspec.Struct, frozen=True):
    """Steps at work; `value_us` is `UNKNOWN` for those not to be measured, `app` the place of each in `apps`."""

    app: NDArray[np.int32]
    value_us: Ints
    apps: pa.ChunkedArray


class _Work(msgspec.Struct, frozen=True):
    """Intervals of work, in any order."""

    begins_us: Ints
    ends_us: Ints


def _at_work(asked: Asked, of: str) -> _Work:
    def read(batches: Iterator[pa.RecordBatch]) -> _Work:
        begins, ends = Growing(np.int64), Growing(np.int64)
        for batch in batches:
            begins.add(batch.column("begin_us").to_numpy())
            ends.add(batch.column("end_us").to_numpy())
        return _Work(begins.whole(), ends.whole())

    return asked.snapshot.gather(f"{of}_at_work", read, {"now_us": asked.now_us})


def _runs_under_way(asked: Asked, at: Ints) -> NDArray[np.int32]:
    runs = _at_work(asked, "runs")
    none = np.zeros(1, np.int32)
    of_moments, of_runs = (np.broadcast_to(none, len(each)) for each in (at, runs.begins_us))
    return under_way(of_moments, at, runs.begins_us, runs.ends_us, of_runs)


def _exponent(others: NDArray[np.int32]) -> NDArray[np.int8]:
    """The range each number is in: -1 for 0, else the exponent of the least power of two not below it."""
    some = np.log2(np.maximum(others, 1).astype(np.float32))  # exact for powers of two
    return np.where(others > 0, np.ceil(some), -1).astype(np.int8)


def _range(exponent: Ints) -> tuple[Ints, Ints]:
    """The least and the greatest number of a range: 0, 1, 2, 3 to 4, 5 to 8 and so on."""
    high = np.where(exponent >= 0, 2 ** np.maximum(exponent, 0), 0)
    return np.where(exponent > 0, high // 2 + 1, high), high
