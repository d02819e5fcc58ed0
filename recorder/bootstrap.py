"""Puts the pieces together: the one place that chooses concrete classes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import overload

import httpx

from recorder import importing, projector
from recorder.audit import Verdict, verify
from recorder.clock import Clock
from recorder.doctor import Finding, examine
from recorder.errors import RunNotFound
from recorder.events import LoggedEvent, Opened, lift
from recorder.lease import Watch
from recorder.projections.runs import Run
from recorder.projector import Projector, Rebuilt
from recorder.recording import (
    Item,
    Recording,
    as_text,
    record_async_items,
    record_items,
)
from recorder.runner import WorkflowRun
from recorder.settings import Settings
from recorder.sources.http import resolve
from recorder.store import schema
from recorder.store.engine import Database, connect
from recorder.store.log import EventLog, SqlLog, run_events
from recorder.store.spool import Spool
from recorder.store.views import Page, RunFilter, Views
from recorder.tail import follow
from recorder.writer import LogWriter

_log = logging.getLogger(__name__)

_GRACE_S = 1.0
"""A thread gets as long as this to stop, however long closing has taken already."""


def open(  # noqa: A001  # reads as recorder.open(…), like gzip.open
    url: str | None = None, *, migrate: bool = False, settings: Settings | None = None
) -> Recorder:
    """Opens a log and all that belongs to it.

    An empty database is set up. Close the result, or use it as a context manager.

    Args:
        url: A SQLAlchemy URL of SQLite or PostgreSQL; by default `RECORDER_DATABASE_URL`, else a
            SQLite file in the user's data folder.
        migrate: Upgrade a database of an older version instead of refusing it.
        settings: Where the rest comes from; by default the environment.

    Raises:
        LogError: The URL makes no sense, or the database cannot be used as it is.
    """
    settings = settings or Settings()
    database = connect(url or settings.database)
    try:
        schema.prepare(database, migrate=migrate)
    except BaseException:
        database.close()
        raise
    return Recorder(database, settings)


class Recorder:
    """A log with its writer, its projection and its readers. Safe to use from several threads.

    Attributes:
        log: The event log.
        writer: Appends to it.
        projector: Keeps runs and steps up with it.
        views: Reads runs and steps as far as they are projected.
        settings: What was read from the environment.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock | None = None):
        self.settings = settings
        self.log: EventLog = SqlLog(database)
        self.spool_folder = settings.spool_folder(str(database.engine.url))
        self.writer = LogWriter(self.log, spool=Spool(self.spool_folder, self.log.instance))
        self.watch = Watch(database, self.log, lease_s=settings.lease_s, adopt=self.writer.adopt)
        self.projector = Projector(database, self.log)
        self.views = Views(database)
        self.database = database
        self._clock = clock
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, timeout_s: float = 10.0) -> None:
        """Commits what is on its way, stops the threads, closes connections; idempotent.

        A database that hangs is not waited for much longer than the timeout: what it has not taken is
        in the spool then, and threads that wait for it end with the process.
        """
        deadline = time.monotonic() + timeout_s
        self.writer.close(timeout_s)
        self._stop.set()
        self.log.commits.nudge()
        for thread in self._threads.values():
            thread.join(max(deadline - time.monotonic(), _GRACE_S))
        self.database.close()

    @overload
    def record(
        self,
        items: Iterable[Item],
        *,
        workflow: str,
        input: bytes | None = None,
        request_id: str | None = None,
    ) -> Iterator[Item]: ...

    @overload
    def record(
        self,
        items: AsyncIterable[Item],
        *,
        workflow: str,
        input: bytes | None = None,
        request_id: str | None = None,
    ) -> AsyncIterator[Item]: ...

    def record(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        workflow: str,
        input: bytes | None = None,
        request_id: str | None = None,
    ) -> Iterator[Item] | AsyncIterator[Item]:
        """Records a stream while handing on its items, unchanged and at once.

        The run begins when the result is first asked for an item.

        Args:
            items: Chunks of an SSE body, or events as mappings; from a sync or async iterator.
            workflow: The endpoint id.
            input: The request's body where known.
            request_id: The run's `x-fal-request-id` where known.
        """
        text, in_base64 = as_text(input or b"")
        document = Opened(
            workflow=workflow,
            source="iterator",
            upstream_request_id=request_id,
            input=text,
            input_base64=in_base64,
        )
        if isinstance(items, AsyncIterable):
            return self._record_async(items, document)
        return self._record(items, document)

    def _record(self, items: Iterable[Item], document: Opened) -> Iterator[Item]:
        yield from record_items(items, self.start(document))

    async def _record_async(
        self, items: AsyncIterable[Item], document: Opened
    ) -> AsyncIterator[Item]:
        async with aclosing(record_async_items(items, self.start(document))) as recorded:
            async for item in recorded:
                yield item

    def start(self, document: Opened) -> Recording:
        """Begins a run whose bytes the caller feeds."""
        self._keep_watch()
        recording = Recording(self.writer, clock=self._clock)
        recording.open(document)
        return recording

    def workflow_run(self, target: str, body: bytes, client: httpx.Client) -> WorkflowRun:
        """A run of a workflow through the recorder; it starts when iterated.

        Raises:
            BadTarget: Neither a workflow id nor a URL.
            MissingKey: The endpoint is fal's and `FAL_KEY` is not set.
        """
        self._keep_watch()
        where = resolve(target, fal_url=self.settings.fal_url, key=self.settings.key)
        return WorkflowRun(self.writer, where, body, client, clock=self._clock)

    def import_transcript(
        self, path: Path, *, workflow: str = "", request_id: str | None = None
    ) -> importing.Imported:
        """See `recorder.importing.import_transcript`."""
        return importing.import_transcript(
            self.log, self.writer, path, workflow=workflow, request_id=request_id
        )

    def _settle(self) -> None:
        """Makes sure that whoever recorded something here reads it now."""
        self.writer.flush()
        self.projector.catch_up()

    def run(self, request_id: str) -> Run:
        """A run with its steps, as of now.

        Raises:
            RunNotFound: There is none of this id.
        """
        self._settle()
        run = self.views.run(request_id)
        if run is None:
            raise RunNotFound(request_id)
        return run

    def runs(
        self, wanted: RunFilter | None = None, *, limit: int = 50, before: int | None = None
    ) -> Page:
        """A page of runs as of now, newest first; see `Views.page`."""
        self._settle()
        return self.views.page(wanted or RunFilter(), limit=limit, before=before)

    def events(self, request_id: str, *, after_seq: int = -1) -> Iterator[LoggedEvent]:
        """The events of a run, in order of `seq`; none if there is no such run."""
        self.writer.flush()
        return run_events(self.log, lift(request_id) or "", after_seq)

    def follow(
        self, *, after: int = 0, stop: threading.Event | None = None
    ) -> Iterator[LoggedEvent]:
        """What the log holds above a position, then what comes; see `recorder.tail.follow`."""
        return follow(self.log, after=after, stop=stop)

    def verify(self, *, progress: Callable[[int], object] | None = None) -> Verdict:
        """Walks the hash chain; see `recorder.audit.verify`."""
        return verify(self.log, progress=progress)

    def examine(self, *, progress: Callable[[int], object] | None = None) -> list[Finding]:
        """Looks over everything, once what waits is appended; see `recorder.doctor.examine`."""
        self.writer.flush()
        return examine(self.database, self.log, self.spool_folder, progress=progress)

    def rebuild(self, *, progress: Callable[[int], object] | None = None) -> Rebuilt:
        """Folds the whole log anew; see `recorder.projector.rebuild`."""
        return projector.rebuild(self.database, self.log, progress=progress)

    def start_projecting(self) -> None:
        """Keeps runs and steps up with the log in a thread of its own, until `close`."""
        self._keep_watch()
        self._start_thread("projector", self.projector.run)

    def _keep_watch(self) -> None:
        """From the first recording on, shows signs of life and closes the runs of dead recorders."""
        try:
            self._start_thread("watch", self.watch.run)
        except RuntimeError as error:  # no thread to be had: the caller's stream goes on
            _log.error("no signs of life will be given: %s", error)

    def _start_thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        if name not in self._threads:
            thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
            thread.start()
            self._threads[name] = thread
