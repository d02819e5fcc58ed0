"""Where the time goes, and which nodes it depends on: along the graphs of runs."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa
from pydantic import Field

from analytics.paths import Ints, Steps, find_paths
from analytics.question import (
    Answer,
    Asked,
    Asking,
    Question,
    Row,
    columns_of,
    refuse_long,
    schema_of,
)
from analytics.selection import Selection
from analytics.waits import GraphOf, waits_of
from recorder.events import lift
from recorder.projections.runs import Run

GraphKind = Literal["definition", "observed"]


class _AlongGraphs(Question):
    """`node` and `app` narrow what is told, not what is read: shares are of whole runs."""

    @property
    def selection(self) -> Selection:
        """See `Question.selection`."""
        return msgspec.structs.replace(super().selection, node=None, app=None)

    @property
    def _told(self) -> dict[str, object]:
        return {"node": lift(self.node), "app": lift(self.app)}


class TimeSpentRow(Row):
    """A node of a workflow: the completed steps of completed runs."""

    workflow: str
    node: str
    steps: int
    duration_total_us: int | None = Field(description="From submit to finish.")
    duration_p50_us: float | None
    inference_total_us: int | None = Field(description="What the app says it took.")
    inference_p50_us: float | None
    overhead_total_us: int | None = Field(description="Duration less inference; may be negative.")
    overhead_p50_us: float | None
    gap_total_us: int | None = Field(
        description="From the finish of the last step waited for, or the run's beginning, to the submit."
    )
    gap_p50_us: float | None
    share: float | None = Field(
        description="Of the total duration of the workflow's completed runs; steps side by side add up to "
        "more than 1."
    )


class TimeSpentAnswer(Answer):
    """Sorted by workflow; in each the node with the longest total first."""

    rows: list[TimeSpentRow]


class TimeSpent(_AlongGraphs):
    """Where does the time of completed runs go?

    Gaps are told of runs of which all steps' times are known, failed attempts included.
    """

    name: ClassVar = "time-spent"
    title: ClassVar = "Where the time of runs goes"
    answer_model: ClassVar = TimeSpentAnswer

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        others = asked.snapshot.ask("overhead_and_gaps", self._told)
        with asked.snapshot.lent("others", others):
            table = asked.snapshot.ask("time_spent", self._told)
        refuse_long(table.num_rows, "workflow")
        return columns_of(TimeSpentRow, table)


class CriticalPathRow(Row):
    """A node, over the completed runs of a workflow and a definition."""

    workflow: str
    definition: str | None = Field(description="null for runs without one.")
    graph: GraphKind = Field(description="What told who waits for whom.")
    node: str
    runs: int = Field(description="Completed runs measured.")
    left_out: int = Field(
        description="Completed runs that are not: without steps, with unknown times, or with too many steps."
    )
    runs_of_node: int = Field(description="Runs measured that have steps of the node.")
    on_path: int = Field(description="Runs in which it is on the critical path.")
    share: float = Field(description="on_path / runs.")
    saved_mean_us: float = Field(
        description="By how much runs would end earlier if the node took half as long, on average over all "
        "runs measured."
    )
    saved_p50_us: float | None = Field(description="The median over the runs in which it is on it.")


class CriticalPathAnswer(Answer):
    """Sorted by workflow and definition; in each the node that would save most first."""

    rows: list[CriticalPathRow]


class CriticalPath(_AlongGraphs):
    """Which nodes decide when completed runs end, and what would halving them save?

    Along the definition's graph; where a run has none, a step is taken to wait for all that had finished
    when it was submitted.
    """

    name: ClassVar = "critical-path"
    title: ClassVar = "Which nodes decide when runs end"
    answer_model: ClassVar = CriticalPathAnswer

    def answer(self, asked: Asked) -> pa.Table:
        """See `Question.answer`."""
        table = asked.snapshot.ask("critical_path", self._told)
        refuse_long(table.num_rows, "workflow")
        return columns_of(CriticalPathRow, table)


class RunPathRow(Row):
    """A step of the run."""

    node: str
    attempt: int
    app: str | None
    graph: GraphKind = Field(description="What told who waits for whom.")
    waited_for: str | None = Field(description="The node of the step it waited for last.")
    gap_us: int = Field(description="From then, or from the run's beginning, to its submit.")
    submitted_us: int = Field(description="Since the run began.")
    finished_us: int
    duration_us: int
    critical: bool = Field(description="Whether it is on the critical path.")
    saved_us: int = Field(
        description="By how much the run would end earlier if its node took half as long."
    )


class RunPathAnswer(Answer):
    """In the order of submits; none where some step's times are unknown."""

    rows: list[RunPathRow]


class RunPath(Asking):
    """Which steps of a run decided when it ended?"""

    name: ClassVar = "run-path"
    title: ClassVar = "The critical path of one run"
    answer_model: ClassVar = RunPathAnswer

    request_id: str = Field(description="The run.")

    def answer_of(self, run: Run, graph_of: GraphOf) -> pa.Table:
        """The rows, in order."""
        steps = run.ordered_steps()
        ids = [step.node_id for step in steps]
        graphs = {run.definition: graph_of(run.definition)} if run.definition else {}
        numbers = {name: number for number, name in enumerate(sorted(set(ids)))}
        waits = waits_of([run.definition] * len(numbers), list(numbers), graphs)
        given = Steps(
            run=np.zeros(len(steps), np.int64),
            node=np.array([numbers[name] for name in ids], np.int32),
            submitted_us=_known([step.submitted_us for step in steps]),
            finished_us=_known([step.finished_us for step in steps]),
        )
        rows = [
            RunPathRow(
                node=steps[row].node_id,
                attempt=steps[row].attempt,
                app=steps[row].app_id,
                graph="definition" if paths.defined[at] else "observed",
                waited_for=None if paths.waited_for[at] < 0 else ids[paths.waited_for[at]],
                gap_us=int(paths.gap_us[at]),
                submitted_us=int(given.submitted_us[row]),
                finished_us=int(given.finished_us[row]),
                duration_us=int(given.finished_us[row] - given.submitted_us[row]),
                critical=bool(paths.critical[at]),
                saved_us=int(paths.saved_us[at]),
            ).model_dump()
            for paths in find_paths(given, waits)
            for at, row in enumerate(paths.row.tolist())
        ]
        return pa.Table.from_pylist(rows, schema_of(RunPathRow))


def _known(times: list[int | None]) -> Ints:
    return np.array([-1 if each is None else each for each in times], np.int64)
