"""What the routes ask the recorder for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import IO, Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Depends
from starlette.requests import Request
from starlette.types import ASGIApp

from analytics.archive import Archive, open_archive
from analytics.console.asked import Answer, Query
from analytics.console.console import Console
from analytics.exporting import Export, Format, Relation
from analytics.face import Analytics, Answered
from analytics.latency import LatencyQuery, LatencyReport, latency
from analytics.question import Asking
from analytics.segments.catalog import RUNS_AND_STEPS, read_exported
from analytics.segments.worker import Worker
from analytics.selection import Selection
from api.background import BackgroundRun, BackgroundRuns
from api.ingest import Ingest
from api.live import Live
from api.replaying import Playing
from api.stage import Stage
from api.streams import Streams
from recorder.bootstrap import Recorder
from recorder.comparison import Comparison, Side, compare, side
from recorder.errors import (
    BadTarget,
    LogError,
    LogUnavailable,
    ProjectionFailed,
    RunNotFound,
)
from recorder.events import LoggedEvent, lift
from recorder.portable.copying import Copied
from recorder.projections.runs import Run
from recorder.recording import body_part
from recorder.rerun import Again
from recorder.store.log import run_events
from recorder.store.views import Page, RunFilter

_Query = TypeVar("_Query")
_Answer = TypeVar("_Answer")

_READ_EVENTS: Final = 64
_PAGE_BYTES: Final = 1024 * 1024
"""A page of events ends with the one that goes beyond; frames may be megabytes each."""

_LET_IN_S: Final = 0.05
"""Who reads waits so long at most for what has been recorded by now; in a blast it takes longer to get in."""


class Events(msgspec.Struct, frozen=True):
    """A page of a run's events; `next_after` is None where no more is recorded so far."""

    events: list[LoggedEvent]
    next_after: int | None


class Progress(msgspec.Struct, frozen=True):
    """How far the log, the projection and the segments have come; None where the log does not answer."""

    log_position: int | None = None
    projection_position: int | None = None
    columns_position: int | None = None


class Service:
    """A recorder as the routes see it. Methods may take their time: call them from a thread, all but `let_in`.

    Attributes:
        background: The runs started here.
        live: Follows the log.
        streams: All streams being sent.
        stage: Plays runs again.
        archive: What questions are asked of.
        columns: Keeps its segments up.
        console: Answers queries in SQL.
        ingest: What events come in through; not to be called from a thread but on the event loop.
    """

    def __init__(self, rec: Recorder, *, max_background_runs: int) -> None:
        self.background = BackgroundRuns(rec, limit=max_background_runs)
        self.live = Live(rec.log)
        self.streams = Streams()
        self.stage = Stage(rec.log, self.live, self.streams)
        self.ingest = Ingest(rec)
        self.archive = open_archive(rec)
        self.columns = Worker(self.archive)
        self.console = Console(self.archive)
        self._rec = rec
        self._questions = Analytics(rec, self.archive)

    async def let_in(self) -> None:
        """Waits, shortly, until what has been recorded by now is in the log: the writer rests in between."""
        writer = self._rec.writer
        if writer.is_behind or not writer.is_busy:
            return
        with suppress(TimeoutError, LogError):
            await asyncio.wait_for(asyncio.wrap_future(writer.mark()), _LET_IN_S)

    def runs(self, wanted: RunFilter, *, limit: int, before: int | None) -> Page:
        """A page of runs, newest first."""
        page = self._rec.views.page(wanted, limit=limit, before=before)
        if page.as_of_position < page.log_position:
            self._catch_up()
            page = self._rec.views.page(wanted, limit=limit, before=before)
        return page

    def run(self, request_id: str) -> Run:
        """A run with its steps.

        Raises:
            RunNotFound: There is none of this id.
            ProjectionFailed: There is, but the projection stopped before it.
        """
        self._catch_up()
        run = self._rec.views.run(request_id)
        if run is not None:
            return run
        failure = self._rec.projector.failure
        if failure is not None and self._is_logged(request_id):
            raise failure
        raise RunNotFound(request_id)

    def events(self, request_id: str, *, after: int, limit: int) -> Events:
        """Events of a run above a seq, up to `limit` of them or a megabyte.

        Raises:
            RunNotFound: There is no such run.
        """
        found: list[LoggedEvent] = []
        size_bytes = 0
        for logged in chain.from_iterable(self._batches(request_id, after)):
            if len(found) == limit or size_bytes > _PAGE_BYTES:
                return Events(found, found[-1].seq)
            found.append(logged)
            size_bytes += len(logged.frame or b"")
        if not found and not self._is_logged(request_id):
            raise RunNotFound(request_id)
        return Events(found, None)

    def body(self, request_id: str) -> Iterator[bytes]:
        """The exact bytes of the body, as far as it has been received.

        Raises:
            RunNotFound: There is no such run; at once, not when iterated.
        """
        if not self._is_logged(request_id):
            raise RunNotFound(request_id)
        return self._body(request_id)

    def definition(self, digest: str) -> bytes:
        """A workflow's definition.

        Raises:
            DefinitionNotFound: None is kept under this digest.
        """
        return self._rec.definition(digest)

    def replay(self, request_id: str, playing: Playing, known_etag: str | None) -> ASGIApp:
        """A run, to be played to a client; or the word that it has not changed.

        Raises:
            RunNotFound: There is no such run.
        """
        return self.stage.replay(request_id, playing, known_etag)

    def compare(self, a: str, b: str) -> Comparison:
        """Two runs side by side.

        Raises:
            RunNotFound: There is none of one id.
            ProjectionFailed: There is, but the projection stopped before it.
        """
        return compare(self._side(a), self._side(b))

    def _side(self, request_id: str) -> Side:
        run = self.run(request_id)
        return side(run, run_events(self._rec.log, run.request_id))

    def latency(self, query: LatencyQuery) -> LatencyReport:
        """Latency of what is recorded by now."""
        self._catch_up()
        return latency(self.archive, query)

    def work_out(self, work: Callable[[Archive, _Query], _Answer], query: _Query) -> _Answer:
        """What takes more than a question, of what is recorded by now."""
        self._catch_up()
        return work(self.archive, query)

    def query(self, query: Query, into: IO[bytes], cancelled: threading.Event) -> Answer:
        """Answers a query in SQL; see `Console.ask`."""
        self._catch_up()
        return self.console.ask(query, into, cancelled=cancelled)

    def export_rows(self, relation: Relation, form: Format, selection: Selection) -> Export:
        """Runs, steps or events as a file; see `Export`."""
        self._catch_up()
        return Export(self._rec.database, relation, form, selection)

    def ask(self, question: Asking) -> Answered:
        """Answers a question about many runs; see `Archive.ask`.

        Raises:
            BadQuery: Its answer would be too long.
            RunNotFound: It is about a run that there is not.
        """
        return self._questions.ask(question)

    def start(self, workflow: str, body: bytes) -> BackgroundRun:
        """Starts a workflow; see `BackgroundRuns.start`.

        Raises:
            LogUnavailable: It could not be recorded; nothing was started.
        """
        return self._start(Again(None, workflow, body, "stream"))

    def rerun(self, request_id: str, changes: Mapping[str, Any]) -> BackgroundRun:
        """Starts a recorded run's workflow again, with some fields of its input changed.

        Raises:
            RunNotFound: There is no such run.
            NotRerunnable: What it was started with is not in the log.
        """
        return self._start(self._rec.again(request_id, changes))

    def _start(self, wanted: Again) -> BackgroundRun:
        workflow = wanted.workflow
        if not workflow.startswith("workflows/"):
            raise BadTarget(f"{workflow[:200]!r} is not a workflow id (workflows/owner/name)")
        self._rec.log.head()  # before anything costs money
        return self.background.start(workflow, wanted.body, mode=wanted.mode, parent=wanted.parent)

    def export(self, request_id: str) -> Iterator[bytes]:
        """A run as the pieces of a portable file.

        Raises:
            RunNotFound: There is no such run; at once, not when iterated.
        """
        return self._rec.export([request_id])

    def import_runs(self, file: IO[bytes]) -> list[Copied]:
        """Takes in the runs of a portable file.

        Raises:
            BadRunFile: It is none, or damaged; nothing was taken in.
            RunConflict: A run of it is there and is another; likewise.
        """
        return self._rec.import_runs(file, "the file")

    def recorded(self, started: BackgroundRun) -> Run:
        """What is in the log of a run started here, once that is durable."""
        return self.run(started.durable_id())

    def progress(self) -> Progress:
        """How far things have come; nothing is known while the log does not answer."""
        try:
            # The projection first: read second, it could be ahead of the head read before.
            position = self._rec.views.checkpoint().position
            return Progress(self._rec.log.head().position, position, self._columns_position())
        except LogUnavailable:
            return Progress()

    def _columns_position(self) -> int | None:
        if self.archive.folder is None:
            return None
        with self._rec.database.reading() as connection:
            return read_exported(connection, RUNS_AND_STEPS).position

    @property
    def projection_failure(self) -> ProjectionFailed | None:
        """Why the projection stopped; None while it works."""
        return self._rec.projector.failure

    def check_ready(self) -> Progress:
        """How far things have come.

        Raises:
            LogUnavailable: The log does not answer.
            ProjectionFailed: Runs and steps are not kept up with it.
        """
        self._rec.log.head()
        if self.projection_failure is not None:
            raise self.projection_failure
        return self.progress()

    def _catch_up(self) -> None:
        try:
            self._rec.projector.catch_up()
        except ProjectionFailed:
            # Everything before the failing event can still be read; `as_of_position` and the
            # health say how far that is.
            return

    def _is_logged(self, request_id: str) -> bool:
        return bool(self._rec.log.read_run(lift(request_id) or "", limit=1))

    def _body(self, request_id: str) -> Iterator[bytes]:
        """A batch at a time: each piece of a streamed answer takes a turn in a thread."""
        for batch in self._batches(request_id, -1):
            piece = b"".join(map(body_part, batch))
            batch.clear()  # a slow reader holds its piece, not the events as well
            yield piece

    def _batches(self, request_id: str, after: int) -> Iterator[list[LoggedEvent]]:
        lifted = lift(request_id) or ""
        while batch := self._rec.log.read_run(lifted, after, _READ_EVENTS):
            after = batch[-1].seq
            yield batch


async def _service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    if request.method == "GET":
        await service.let_in()
    return service


ServiceOf = Annotated[Service, Depends(_service_of)]
"""The service of the app a request came to."""
