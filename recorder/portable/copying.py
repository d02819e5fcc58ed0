"""Taking runs out of a portable file into a log: unchanged, once, and all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import Final

import msgspec

from recorder import redaction
from recorder.errors import BadRunFile, RunConflict
from recorder.events import OWN_TYPES, LoggedEvent, NewEvent, lift
from recorder.portable.form import RunEntry, member_of_definition
from recorder.portable.reading import RunFile
from recorder.projections.runs import fold, new_run
from recorder.store.definitions import DefinitionStore
from recorder.store.log import EventLog, Receipt, run_events

_BATCH_EVENTS: Final = 1_000
_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A transaction takes no more than this, so that the head row is never locked for long."""

_ERASED: Final = "its frame has been erased, and what is erased cannot be taken in"
# Taken out it would not be what was recorded, and nothing would prove that the rest is.
_TELLS: Final = "it shows a credential, which no log may keep"

_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Copied(msgspec.Struct, frozen=True):
    """What came of a run of the file.

    Attributes:
        request_id: The run.
        events: How many the file has.
        added: How many of them were not in the log yet.
    """

    request_id: str
    events: int
    added: int


def copy_runs(log: EventLog, definitions: DefinitionStore, file: RunFile) -> list[Copied]:
    """Appends the runs of a file as they were recorded; durable on return.

    Ids, numbers, times and bytes stay what they were; position, salt and chain are this log's own. A run
    that is there, as far as the file has it or further, is left as it is; of one that is there in part,
    the rest is appended. Idempotent; should it break off in the middle, a second time completes it.

    Args:
        log: Where to append.
        definitions: Keeps those the file has.
        file: The file.

    Raises:
        BadRunFile: The file is not whole, not what it says, or has a run that cannot be taken in. Nothing
            was appended.
        RunConflict: A run is there and is another. Nothing was appended, unless the run came in meanwhile.
        LogUnavailable: The database did not answer.
    """
    digests = sorted({run.definition for run in file.manifest.runs if run.definition is not None})
    for run in file.manifest.runs:
        _check(file, run)
    for digest in digests:
        _checked_definition(file, digest)
    missing = [(run, _first_missing(log, file, run)) for run in file.manifest.runs]
    for digest in digests:
        if (definition := _checked_definition(file, digest)) is not None:
            definitions.keep(digest, definition)
    return [_copy(log, file, run, first) for run, first in missing]


def _check(file: RunFile, run: RunEntry) -> None:
    """Reads a run to its end and folds it: what no log can hold or nobody can read stays outside."""
    if not run.request_id or lift(run.request_id) != run.request_id:
        raise BadRunFile(file.name, f"{run.member}: its run has an id that no log can hold")
    events = (_checked(file, run, logged) for logged in file.events(run))
    try:
        fold(new_run(run.request_id), events)
    except (ValueError, RecursionError) as error:
        raise BadRunFile(file.name, f"{run.member} is no run: {error}") from None


def _checked_definition(file: RunFile, digest: str) -> bytes | None:
    """A definition of the file; what nobody could show stays outside."""
    definition = file.definition(digest)
    if definition is not None and not _is_object(definition):
        raise BadRunFile(
            file.name, f"{member_of_definition(digest)} is no definition of a workflow"
        )
    return definition


def _is_object(definition: bytes) -> bool:
    try:
        definition.decode()  # what stays raw is not checked for it
        _decode_fields(definition)
    except (ValueError, RecursionError):
        return False
    return True


def _checked(file: RunFile, run: RunEntry, logged: LoggedEvent) -> LoggedEvent:
    if logged.frame is None:
        raise BadRunFile(file.name, f"{run.request_id}, seq {logged.seq}: {_ERASED}")
    if logged.type in OWN_TYPES and redaction.tells_credentials(logged.event):
        raise BadRunFile(file.name, f"{run.request_id}, seq {logged.seq}: {_TELLS}")
    for value in (logged.node_id, logged.app_id, logged.step_request_id):
        if lift(value) != value:
            reason = f"{run.member}: seq {logged.seq} has an id that no log can hold"
            raise BadRunFile(file.name, reason)
    return logged


def _first_missing(log: EventLog, file: RunFile, run: RunEntry) -> int:
    """The seq of the first event the log lacks.

    Raises:
        RunConflict: Those it has are not the file's.
    """
    last: LoggedEvent | None = None
    pairs = zip_longest(file.events(run), run_events(log, run.request_id))
    for theirs, ours in pairs:
        if ours is None:
            break
        if theirs is None:
            return run.events
        if ours.frame is None:
            raise RunConflict(run.request_id, ours.seq, "its frame has been erased here")
        if _as_new(theirs) != _as_new(ours):
            raise RunConflict(run.request_id, ours.seq, "another event stands there")
        last = ours
    else:
        return run.events
    if last is not None and last.type == "closed":
        raise RunConflict(run.request_id, last.seq + 1, "it has ended here")
    return 0 if last is None else last.seq + 1


def _copy(log: EventLog, file: RunFile, run: RunEntry, first: int) -> Copied:
    if first < run.events:
        events = map(_as_new, islice(file.events(run), first, None))
        for batch in _batches(events):
            _append(log, batch)
    return Copied(run.request_id, run.events, run.events - first)


def _append(log: EventLog, batch: list[NewEvent]) -> None:
    for event, outcome in zip(batch, log.append_copies(batch), strict=True):
        if not isinstance(outcome, Receipt):
            raise RunConflict(event.request_id, event.seq, "somebody else has just added to it")


def _batches(events: Iterable[NewEvent]) -> Iterator[list[NewEvent]]:
    batch: list[NewEvent] = []
    size_bytes = 0
    for event in events:
        batch.append(event)
        size_bytes += len(event.frame)
        if len(batch) == _BATCH_EVENTS or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _as_new(logged: LoggedEvent) -> NewEvent:
    """What was appended of an event, without its place in the log."""
    assert logged.frame is not None
    return NewEvent(
        request_id=logged.request_id,
        seq=logged.seq,
        type=logged.type,
        frame=logged.frame,
        received_at=logged.received_at,
        elapsed_us=logged.elapsed_us,
        node_id=logged.node_id,
        app_id=logged.app_id,
        step_request_id=logged.step_request_id,
    )
