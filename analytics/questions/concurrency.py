"""Concurrency: how many runs and steps are at work at a time, and what that does to latency."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from analytics.moments import LENGTHS_US, At, Bucket, edges
from analytics.quantiles import percentile_rows
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
        loads, apps = self._loads(asked)
        with asked.snapshot.lent("loads", loads), asked.snapshot.lent("apps", apps):
            groups = asked.snapshot.ask("latency_by_load")
        refuse_long(groups.num_rows * len(self.percentiles), "percentiles")
        rows = percentile_rows(groups, "values_us", self.percentiles, self.confidence)
        low, high = _range(rows.column("load").to_numpy().astype(np.int64))
        rows = rows.append_column("others_from", pa.array(low))
        rows = rows.append_column("others_to", pa.array(high))
        rows = rows.sort_by([("app", "ascending"), ("others_from", "ascending")])
        return columns_of(LoadRow, rows)

    def _loads(self, asked: Asked) -> tuple[pa.Table, pa.Table]:
        """The measured steps, each with the range its load is in; and the apps."""
        steps = self._steps(asked)
        if self.count == "steps":
            others = under_way(steps.app, steps.begin_us, steps.begin_us, steps.end_us, steps.app)
            others -= steps.end_us > steps.begin_us  # itself
        else:
            others = np.maximum(_runs_under_way(asked, steps.begin_us) - 1, 0)  # its own
        loads = {"app": steps.app, "load": _exponent(others), "value_us": steps.value_us}
        return pa.table(loads).filter(pc.field("value_us").is_valid()), steps.apps

    def _steps(self, asked: Asked) -> _Steps:
        parameters = {
            "now_us": asked.now_us,
            "measure": f"{self.measure}_us",
            "node": lift(self.node),
            "app": lift(self.app),
        }
        hashes: dict[int, int] = {}

        def keep(batch: pa.RecordBatch) -> tuple[Any, ...]:
            apps = batch.column("app").dictionary_encode()
            codes = [hashes.setdefault(one, len(hashes)) for one in apps.dictionary.to_pylist()]
            app = np.array(codes, np.int32)[apps.indices.to_numpy()]
            # Copies, or each would keep its whole batch.
            begins, ends = (batch.column(of).to_numpy().copy() for of in ("begin_us", "end_us"))
            values = batch.column("value_us").copy_to(pa.default_cpu_memory_manager())
            return begins, ends, app, values

        kept = asked.snapshot.gather("steps_under_load", keep, parameters)
        begins, ends, apps, values = (
            map(list, zip(*kept, strict=True)) if kept else ([], [], [], [])
        )
        del kept
        return _Steps(
            _joined(begins, np.int64),
            _joined(ends, np.int64),
            _joined(apps, np.int32),
            pa.chunked_array(values, pa.int64()),
            pa.table({"app": range(len(hashes)), "hash": pa.array(hashes, pa.uint64())}),
        )


def _joined(parts: list[Any], kind: type[np.integer[Any]]) -> Any:
    """One array of all; the parts are let go at once, for together they are most of the memory."""
    whole = np.concatenate([np.zeros(0, kind), *parts])
    parts.clear()
    return whole


class _Steps(msgspec.Struct, frozen=True):
    """Steps at work; `value_us` is NULL for those not to be measured, `apps` has the hash of each app."""

    begin_us: Ints
    end_us: Ints
    app: NDArray[np.int32]
    value_us: pa.ChunkedArray
    apps: pa.Table


class _Work(msgspec.Struct, frozen=True):
    """Intervals of work, in any order."""

    begins_us: Ints
    ends_us: Ints


def _at_work(asked: Asked, of: str) -> _Work:
    def keep(batch: pa.RecordBatch) -> tuple[Ints, Ints]:
        return batch.column("begin_us").to_numpy(), batch.column("end_us").to_numpy()

    kept = asked.snapshot.gather(f"{of}_at_work", keep, {"now_us": asked.now_us})
    begins, ends = ([each[column] for each in kept] for column in (0, 1))
    del kept
    return _Work(_joined(begins, np.int64), _joined(ends, np.int64))


def _runs_under_way(asked: Asked, at: Ints) -> NDArray[np.int32]:
    runs = asked.snapshot.ask("runs_at_work", {"now_us": asked.now_us})
    begins, ends = runs.column("begin_us").to_numpy(), runs.column("end_us").to_numpy()
    none = np.zeros(1, np.int32)
    return under_way(
        np.broadcast_to(none, len(at)), at, begins, ends, np.broadcast_to(none, len(begins))
    )


def _exponent(others: NDArray[np.int32]) -> NDArray[np.int8]:
    """The range each number is in: -1 for 0, else the exponent of the least power of two not below it."""
    some = np.log2(np.maximum(others, 1).astype(np.float32))  # exact for powers of two
    return np.where(others > 0, np.ceil(some), -1).astype(np.int8)


def _range(exponent: Ints) -> tuple[Ints, Ints]:
    """The least and the greatest number of a range: 0, 1, 2, 3 to 4, 5 to 8 and so on."""
    high = np.where(exponent >= 0, 2 ** np.maximum(exponent, 0), 0)
    return np.where(exponent > 0, high // 2 + 1, high), high
