"""Puts the pieces together: the one place that chooses concrete classes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any, overload

import httpx

from recorder import importing, projector
from recorder.audit import Verdict, verify
from recorder.clock import Clock
from recorder.comparison import Comparison, compare, side
from recorder.definitions import Definitions
from recorder.doctor import Finding, examine
from recorder.documents import Mode
from recorder.errors import DefinitionNotFound, RunNotFound
from recorder.events import LoggedEvent, Opened, lift
from recorder.lease import Watch
from recorder.portable.copying import Copied, copy_runs
from recorder.portable.reading import RunFile
from recorder.portable.writing import export
from recorder.projections.runs import Run
from recorder.projector import Projector, Rebuilt
from recorder.recording import Item, record_async_items, record_items
from recorder.remote import RemoteLog, RemoteWatch
from recorder.rerun import Again, again
from recorder.run_recorder import RunRecorder, iterated
from recorder.runner import WorkflowRun
from recorder.settings import Settings
from recorder.sources.http import resolve
from recorder.sources.platform import definitions_at
from recorder.store import schema
from recorder.store.beginnings import beginning
from recorder.store.definitions import DefinitionStore
from recorder.store.engine import Database, connect
from recorder.store.late import LateLog
from recorder.store.listening import Listener
from recorder.store.log import EventLog, SqlLog, run_events
from recorder.store.spool import Spool
from recorder.store.views import Page, RunFilter, Views
from recorder.tail import follow, follow_run
from recorder.writer import LogWriter


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


def recording_to(url: str | None = None, *, settings: Settings | None = None) -> RunRecorder:
    """What records without reading: into a database, or to a recorder service.

    Nothing is opened yet, and neither has to be there: what is recorded meanwhile waits in the spool.

    Args:
        url: A SQLAlchemy URL, or a service's http(s) address; the database as in `open` by default.
        settings: Where the rest comes from; by default the environment.

    Raises:
        LogError: The URL makes no sense, or names a missing driver.
    """
    settings = settings or Settings()
    url = url or settings.database
    if url.lower().startswith(("http://", "https://")):
        return _recording_to_service(url, settings)
    database = connect(url)
    log = LateLog(database)
    spool = Spool(settings.spool_folder(str(database.engine.url)), log.instance)
    writer = LogWriter(log, spool=spool)

    def adopt() -> None:
        log.set_up()
        writer.adopt()

    def keep(digest: str, definition: bytes) -> None:
        log.set_up()
        DefinitionStore(database).keep(digest, definition)

    watch = Watch(database, log, lease_s=settings.lease_s, adopt=adopt)
    return RunRecorder(writer, watch, Definitions(keep, None), release=database.close)


def _recording_to_service(url: str, settings: Settings) -> RunRecorder:
    log = RemoteLog(url)
    writer = LogWriter(log, spool=Spool(settings.spool_folder(log.url), log.instance))
    watch = RemoteWatch(log, adopt=writer.adopt)
    named_only = Definitions(lambda *_: None, None)  # the service keeps what a run brings along
    return RunRecorder(writer, watch, named_only, release=log.close)


@overload
def record(
    items: Iterable[Item],
    *,
    workflow: str,
    url: str | None = None,
    input: bytes | None = None,
    request_id: str | None = None,
) -> Iterator[Item]: ...


@overload
def record(
    items: AsyncIterable[Item],
    *,
    workflow: str,
    url: str | None = None,
    input: bytes | None = None,
    request_id: str | None = None,
) -> AsyncIterator[Item]: ...


def record(
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    workflow: str,
    url: str | None = None,
    input: bytes | None = None,
    request_id: str | None = None,
) -> Iterator[Item] | AsyncIterator[Item]:
    """Records one stream while handing on its items; see `RunRecorder.record`.

    The log is opened for this stream alone and closed after it; for many streams, open one.

    Args:
        items: Chunks of an SSE body, or events as mappings; from a sync or async iterator.
        workflow: The endpoint id.
        url: See `recording_to`.
        input: The request's body where known.
        request_id: The run's `x-fal-request-id` where known.

    Raises:
        LogError: The URL makes no sense; told in place of the first item.
    """
    document = iterated(workflow, input, request_id)
    if isinstance(items, AsyncIterable):
        return _record_async(items, document, url)
    return _record(items, document, url)


def _record(items: Iterable[Item], document: Opened, url: str | None) -> Iterator[Item]:
    with recording_to(url) as rec:
        yield from record_items(items, rec.start(document))


async def _record_async(
    items: AsyncIterable[Item], document: Opened, url: str | None
) -> AsyncIterator[Item]:
    rec = recording_to(url)
    try:
        async with aclosing(record_async_items(items, rec.start(document))) as recorded:
            async for item in recorded:
                yield item
    finally:
        await asyncio.to_thread(rec.close)


class Recorder(RunRecorder):
    """A log with its writer, its projection and its readers. Safe to use from several threads.

    Attributes:
        log: The event log.
        projector: Keeps runs and steps up with it.
        views: Reads runs and steps as far as they are projected.
        settings: What was read from the environment.
    """

    watch: Watch

    def __init__(self, database: Database, settings: Settings, *, clock: Clock | None = None):
        self.settings = settings
        self.log: EventLog = SqlLog(database)
        self.spool_folder = settings.spool_folder(str(database.engine.url))
        writer = LogWriter(self.log, spool=Spool(self.spool_folder, self.log.instance))
        watch = Watch(database, self.log, lease_s=settings.lease_s, adopt=writer.adopt)
        self._kept_definitions = DefinitionStore(database)
        definitions = _definitions(self._kept_definitions, settings, clock)
        super().__init__(writer, watch, definitions, clock=clock, release=database.close)
        self.projector = Projector(database, self.log)
        self.views = Views(database)
        self.database = database

    def _end_waits(self) -> None:
        self.log.commits.nudge()

    def workflow_run(
        self,
        target: str,
        body: bytes,
        client: httpx.Client,
        *,
        mode: Mode = "stream",
        parent: str | None = None,
    ) -> WorkflowRun:
        """A run of a workflow through the recorder; it starts when iterated.

        Args:
            target: A workflow id, or the URL of an endpoint.
            body: The request's body.
            client: Sends the request.
            mode: Whether it is called for the stream of its events or plainly.
            parent: The run this one is a rerun of.

        Raises:
            BadTarget: Neither a workflow id nor a URL.
            MissingKey: The endpoint is fal's and `FAL_KEY` is not set.
        """
        self._keep_watch()
        where = resolve(target, fal_url=self.settings.fal_url, key=self.settings.key, mode=mode)
        return WorkflowRun(
            self.writer,
            where,
            body,
            client,
            parent=parent,
            clock=self._clock,
            definitions=self.definitions,
        )

    def again(self, request_id: str, changes: Mapping[str, Any]) -> Again:
        """What to start to have a run again; see `recorder.rerun.again`.

        Raises:
            RunNotFound: There is none of this id.
        """
        self.writer.flush()
        run = lift(request_id) or ""
        first = self.log.read_run(run, limit=1)
        if not first:
            raise RunNotFound(request_id)
        return again(first[0], changes, began=beginning(self.log, run))

    def import_transcript(
        self, path: Path, *, workflow: str = "", request_id: str | None = None
    ) -> importing.Imported:
        """See `recorder.importing.import_transcript`."""
        return importing.import_transcript(
            self.log, self.writer, path, workflow=workflow, request_id=request_id
        )

    def export(self, request_ids: Iterable[str]) -> Iterator[bytes]:
        """Runs as the pieces of a portable file; see `recorder.portable.writing.export`."""
        self.writer.flush()
        return export(self.database, self.log, request_ids)

    def import_runs(self, source: Path | IO[bytes], name: str | None = None) -> list[Copied]:
        """Takes in the runs of a portable file; see `recorder.portable.copying.copy_runs`.

        Args:
            source: The file, or where it is.
            name: What to call it in errors.
        """
        self.writer.flush()
        with RunFile(source, name) as file:
            return copy_runs(self.log, self._kept_definitions, file)

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

    def definition(self, digest: str) -> bytes:
        """A workflow's definition, canonical JSON, by the name runs have for it.

        Raises:
            DefinitionNotFound: None is kept under it.
        """
        definition = self._kept_definitions.read(digest)
        if definition is None:
            raise DefinitionNotFound(digest)
        return definition

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

    def compare(self, a: str, b: str) -> Comparison:
        """Two runs side by side, as of now.

        Raises:
            RunNotFound: There is none of one id.
        """
        first, second = self.run(a), self.run(b)
        return compare(side(first, self.events(a)), side(second, self.events(b)))

    def follow(
        self, *, after: int = 0, stop: threading.Event | None = None
    ) -> Iterator[LoggedEvent]:
        """What the log holds above a position, then what comes; see `recorder.tail.follow`."""
        self._listen()
        return follow(self.log, after=after, stop=stop)

    def follow_run(self, request_id: str, *, after_seq: int = -1) -> Iterator[LoggedEvent]:
        """The events of a run, those that are still to come included; see `recorder.tail.follow_run`."""
        self.writer.flush()
        self._listen()
        return follow_run(self.log, lift(request_id) or "", after_seq=after_seq)

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
        self._listen()
        self._start_thread("projector", self.projector.run)

    def _listen(self) -> None:
        """Hears of other processes' commits at once, where the database can tell."""
        if not self.database.is_sqlite:
            self._start_thread("listener", Listener(self.database, self.log.commits).run)


def _definitions(kept: DefinitionStore, settings: Settings, clock: Clock | None) -> Definitions:
    api, key = settings.api, settings.key
    look_up = None if api is None or key is None else definitions_at(api, key)
    return Definitions(kept.keep, look_up, clock=clock)
