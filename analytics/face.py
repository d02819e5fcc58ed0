"""The Python face: a method for every question, each returning an Arrow table."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from analytics.archive import Archive, open_archive
from analytics.asking import snapshot
from analytics.prices import Prices, load_prices
from analytics.question import Asked, Asking, Question
from analytics.questions.concurrency import Concurrency, Load
from analytics.questions.cost import Cost
from analytics.questions.extremes import Slowest, Unusual
from analytics.questions.failures import Errors
from analytics.questions.heatmap import Heatmap
from analytics.questions.latency import FirstEvent, Latency
from analytics.questions.outputs import ImageSizes, Outputs, RepeatedInputs, RepeatedSeeds
from analytics.questions.paths import CriticalPath, RunPath, TimeSpent
from analytics.questions.throughput import Throughput
from recorder.bootstrap import Recorder
from recorder.bootstrap import open as open_recorder
from recorder.clock import SystemClock
from recorder.closing import Closing
from recorder.errors import DefinitionNotFound, ProjectionFailed
from recorder.graph import Graph, read_graph


class Answered(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        table: The rows, in the question's order; moments are UTC without a zone.
        as_of_position: The log position they are derived from.
    """

    table: pa.Table
    as_of_position: int


class Analytics(Closing):
    """Asks questions of everything that is recorded. Safe to use from several threads.

    The methods take a question's parameters by name, as docs/analytics.md lists them, and raise BadQuery
    where one makes no sense, LogUnavailable where the database does not answer.

    Args:
        recorder: The log, which stays the caller's to close.
        archive: Its database with its segments, where that is open already.
    """

    def __init__(self, recorder: Recorder, archive: Archive | None = None) -> None:
        self._recorder = recorder
        self._archive = archive or open_archive(recorder)
        self._archive_is_ours = archive is None
        self._opened_here = False

    def close(self) -> None:
        """Frees what was opened here, the log too if `analytics.open` opened it; idempotent."""
        if self._archive_is_ours:
            self._archive.close()
        if self._opened_here:
            self._recorder.close()

    def ask(self, question: Asking) -> Answered:
        """Answers a question from what is recorded by now.

        Raises:
            BadQuery: A parameter makes no sense, or the answer would be too long.
            RunNotFound: The question is about a run that there is not.
        """
        if isinstance(question, RunPath):
            run = self._recorder.run(question.request_id)
            return Answered(question.answer_of(run, self._graph), run.as_of_position)
        assert isinstance(question, Question)
        self._catch_up()
        with snapshot(self._archive, question.selection) as opened:
            asked = Asked(opened, now_us=SystemClock().now_us(), prices=self._prices)
            return Answered(question.answer(asked), opened.as_of_position)

    def _catch_up(self) -> None:
        try:
            self._recorder.projector.catch_up()
        except ProjectionFailed:
            return  # what was projected before can be asked about; `as_of_position` tells how far

    def _graph(self, definition: str) -> Graph | None:
        try:
            return read_graph(self._recorder.definition(definition))
        except DefinitionNotFound:
            return None

    def _prices(self) -> Prices | None:
        path = self._recorder.settings.prices
        return None if path is None else load_prices(path)

    def latency(self, **parameters: object) -> pa.Table:
        """How long steps or runs take: percentiles, each with a confidence interval."""
        return self.ask(Latency.read(parameters)).table

    def first_event(self, **parameters: object) -> pa.Table:
        """How long until fal's first event of a run."""
        return self.ask(FirstEvent.read(parameters)).table

    def throughput(self, **parameters: object) -> pa.Table:
        """How many runs begin and end, by bucket of time."""
        return self.ask(Throughput.read(parameters)).table

    def concurrency(self, **parameters: object) -> pa.Table:
        """How many runs and steps are at work at a time, by bucket of time."""
        return self.ask(Concurrency.read(parameters)).table

    def load(self, **parameters: object) -> pa.Table:
        """How long steps take while others are at work."""
        return self.ask(Load.read(parameters)).table

    def errors(self, **parameters: object) -> pa.Table:
        """What goes wrong, by kind, app and field."""
        return self.ask(Errors.read(parameters)).table

    def time_spent(self, **parameters: object) -> pa.Table:
        """Where the time of runs goes, by node."""
        return self.ask(TimeSpent.read(parameters)).table

    def critical_path(self, **parameters: object) -> pa.Table:
        """Which nodes decide when runs end, and what halving them would save."""
        return self.ask(CriticalPath.read(parameters)).table

    def run_path(self, request_id: str) -> pa.Table:
        """The critical path of one run."""
        return self.ask(RunPath.read({"request_id": request_id})).table

    def heatmap(self, **parameters: object) -> pa.Table:
        """How durations are spread, as time passes."""
        return self.ask(Heatmap.read(parameters)).table

    def slowest(self, **parameters: object) -> pa.Table:
        """The slowest runs or steps."""
        return self.ask(Slowest.read(parameters)).table

    def unusual(self, **parameters: object) -> pa.Table:
        """The runs or steps that took unusually long or short."""
        return self.ask(Unusual.read(parameters)).table

    def outputs(self, **parameters: object) -> pa.Table:
        """What comes out of steps: images, seeds, flags."""
        return self.ask(Outputs.read(parameters)).table

    def image_sizes(self, **parameters: object) -> pa.Table:
        """How large images are."""
        return self.ask(ImageSizes.read(parameters)).table

    def repeated_inputs(self, **parameters: object) -> pa.Table:
        """Inputs that were sent more than once."""
        return self.ask(RepeatedInputs.read(parameters)).table

    def repeated_seeds(self, **parameters: object) -> pa.Table:
        """Seeds that came up more than once."""
        return self.ask(RepeatedSeeds.read(parameters)).table

    def cost(self, **parameters: object) -> pa.Table:
        """What steps cost by a price table."""
        return self.ask(Cost.read(parameters)).table


def open(url: str | None = None) -> Analytics:  # noqa: A001  # reads as analytics.open(…)
    """Opens a log to ask questions of. Close the result, or use it as a context manager.

    Args:
        url: As for `recorder.open`.

    Raises:
        LogError: As `recorder.open`.
    """
    opened = Analytics(open_recorder(url))
    opened._opened_here = True  # noqa: SLF001  # ours
    return opened
