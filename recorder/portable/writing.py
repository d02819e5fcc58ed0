"""Writing runs into a file that can be taken elsewhere: in pieces, in little memory.

The same runs of the same log give the same bytes: nothing in the file tells when or where it was written.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final

import msgspec

from recorder.documents import beginning_in
from recorder.errors import BadQuery, RunNotFound
from recorder.events import Closed, Event, LoggedEvent, lift
from recorder.portable.form import (
    FORMAT,
    MANIFEST,
    MAX_RUNS,
    VERSION,
    Entry,
    Manifest,
    Member,
    Origin,
    RunEntry,
    encode_entry,
    encode_manifest,
    member_of_definition,
    member_of_run,
)
from recorder.store.definitions import DefinitionStore
from recorder.store.engine import Database
from recorder.store.links import chains_before
from recorder.store.log import EventLog, Head

_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest a zip can tell."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UNIX: Final = 3
_READABLE: Final = 0o644 << 16


def export(database: Database, log: EventLog, request_ids: Iterable[str]) -> Iterator[bytes]:
    """The pieces of a file with these runs, as far as they are recorded now.

    Args:
        database: Where the log is.
        log: The log.
        request_ids: The runs; in the file they stand in the order of the log, each once.

    Raises:
        RunNotFound: One is not there; at once, not when iterated.
        BadQuery: None is named, or too many are.
    """
    firsts = [_first(log, request_id) for request_id in dict.fromkeys(request_ids)]
    if not 1 <= len(firsts) <= MAX_RUNS:
        raise BadQuery("runs", f"a file holds from 1 to {MAX_RUNS:,}")
    firsts.sort(key=lambda logged: logged.position)
    # Read after the runs were found, so that it stands behind all of their beginnings.
    return _Writing(database, log, log.head()).pieces(firsts)


def _first(log: EventLog, request_id: str) -> LoggedEvent:
    found = log.read_run(lift(request_id) or "", limit=1)
    if not found:
        raise RunNotFound(request_id)
    return found[0]


class _Pieces:
    """What a zip is written to; it can only be appended to, so what was written can be sent off."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


class _Writing:
    """A file being written."""

    def __init__(self, database: Database, log: EventLog, head: Head) -> None:
        self._database = database
        self._log = log
        self._head = head
        self._members: list[Member] = []
        self._runs: list[RunEntry] = []
        self._definitions = DefinitionStore(database)
        self._definitions_written: set[str] = set()

    def pieces(self, firsts: list[LoggedEvent]) -> Iterator[bytes]:
        out = _Pieces()
        with zipfile.ZipFile(out, "w") as archive:
            for number, first in enumerate(firsts, 1):
                for _ in self._write_run(archive, number, first):
                    yield out.take()
                self._write_definition(archive, self._runs[-1].definition)
            with archive.open(_member(MANIFEST), "w") as member:
                member.write(encode_manifest(self._manifest()))
        yield out.take()

    def _write_run(
        self, archive: zipfile.ZipFile, number: int, first: LoggedEvent
    ) -> Iterator[None]:
        name = member_of_run(number)
        digest = hashlib.sha256()
        size_bytes = events = 0
        last, workflow, definition = first, "", None
        # A member of an unknown size needs room for a size beyond 4 GiB.
        with archive.open(_member(name), "w", force_zip64=True) as member:
            for batch in self._batches(first.request_id):
                lines = b"".join(map(encode_entry, batch))
                member.write(lines)
                digest.update(lines)
                size_bytes += len(lines)
                events += len(batch)
                last = batch[-1].logged
                told = [event for event in map(_read, _telling(batch)) if event is not None]
                workflow = _workflow(told) or workflow
                definition = _definition(told) or definition
                yield
        self._members.append(Member(name, size_bytes, digest.hexdigest()))
        self._runs.append(
            RunEntry(
                request_id=first.request_id,
                workflow=workflow,
                member=name,
                events=events,
                closed=last.type == "closed",
                definition=definition,
            )
        )

    def _write_definition(self, archive: zipfile.ZipFile, digest: str | None) -> None:
        """Adds a workflow's definition, where it is kept and not in the file already."""
        if digest is None or digest in self._definitions_written:
            return
        definition = self._definitions.read(digest)
        if definition is None:
            return
        name = member_of_definition(digest)
        with archive.open(_member(name), "w") as member:
            member.write(definition)
        self._definitions_written.add(digest)
        self._members.append(Member(name, len(definition), digest))

    def _batches(self, request_id: str) -> Iterator[list[Entry]]:
        """The run's events up to the head, with the chain before them where that is another run's."""
        after_seq, position = -1, 0
        while batch := self._batch(request_id, after_seq):
            places = [logged.position for logged in batch]
            apart = {
                place
                for place, before in zip(places, [position, *places], strict=False)
                if place != before + 1 or before == 0
            }
            previous = chains_before(self._database, apart)
            yield [Entry(logged, previous.get(logged.position)) for logged in batch]
            after_seq, position = batch[-1].seq, places[-1]

    def _batch(self, request_id: str, after_seq: int) -> list[LoggedEvent]:
        found = self._log.read_run(request_id, after_seq)
        return [logged for logged in found if logged.position <= self._head.position]

    def _manifest(self) -> Manifest:
        head = self._head
        return Manifest(
            format=FORMAT,
            version=VERSION,
            recorder=version("fal-flight-recorder"),
            log=Origin(head.epoch, head.position, head.chain.hex()),
            runs=self._runs,
            members=self._members,
        )


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _NO_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = _UNIX
    member.external_attr = _READABLE
    return member


def _telling(batch: list[Entry]) -> Iterator[LoggedEvent]:
    """The events that may tell how their run began or what its definition is."""
    for entry in batch:
        if entry.logged.type in ("opened", "exchange", "closed"):
            yield entry.logged


def _definition(told: list[Event]) -> str | None:
    """The name of the workflow's definition, as far as these events tell it."""
    ends = [event if isinstance(event, Closed) else beginning_in(event) for event in told]
    named = [end.definition for end in reversed(ends) if end is not None]
    return next((name for name in named if name and _DIGEST.fullmatch(name)), None)


def _workflow(told: list[Event]) -> str:
    """The workflow, as far as these events tell it."""
    began = [beginning_in(event) for event in told]
    return next((each.workflow for each in reversed(began) if each is not None), "")


def _read(logged: LoggedEvent) -> Event | None:
    try:
        return logged.event
    except msgspec.MsgspecError:  # a row that was tampered with
        return None
