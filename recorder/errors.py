"""Everything the recorder raises on purpose, as one tree.

    RecorderError
    ├── LogError                    an event log said no
    │   ├── SequenceConflict        other bytes stand at this place, or a place was skipped
    │   ├── RunClosed               the run has its `closed` event
    │   ├── RunConflict             a run brought in is there already, and is another
    │   ├── EventRefused            a recorder service does not take such an event
    │   ├── LogUnavailable          the database did not answer           (retryable)
    │   ├── WriterClosed            the writer takes nothing more
    │   └── SchemaError             the database is not at this version's schema
    ├── NotInstrumented             fal's client cannot be recorded, or is recorded already
    ├── RunNotFound                 no run of that id
    ├── DefinitionNotFound          no definition of that digest
    ├── ProjectionFailed            a fold or its storage failed at a position
    ├── BadQuery                    a filter, cursor or parameter makes no sense
    ├── SqlError                    a query in SQL has no answer
    │   ├── BadSql                  DuckDB does not take it, or it does not merely read
    │   ├── SqlLimit                it went beyond a limit
    │   ├── SqlCrashed              it ended its process
    │   ├── SqlCancelled            nobody waits for it any more
    │   └── TooManyQueries          as many as may be are under way         (retryable)
    └── SourceError                 a source of streams said no
        ├── BadTarget               not a workflow id nor the URL of a stream endpoint
        ├── MissingKey              fal wants a key and none is set
        ├── NotRerunnable           what a run was started with is not in the log
        ├── BadTranscript           a file that is no transcript
        ├── BadRunFile              a file that holds no portable runs, or not whole
        └── UpstreamUnreachable     no answer with a status came           (retryable)

Messages are one line and fit a terminal; the facts are attributes. `retryable` says whether the
same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

from typing import ClassVar


class RecorderError(Exception):
    """Base of all errors the recorder raises on purpose."""

    retryable: ClassVar[bool] = False


class LogError(RecorderError):
    """An event log refused a call."""


class SequenceConflict(LogError):
    """The place `(request_id, seq)` holds other bytes, or is not the run's next place."""

    def __init__(self, request_id: str, seq: int, *, next_seq: int) -> None:
        self.request_id = request_id
        self.seq = seq
        self.next_seq = next_seq
        super().__init__(
            f"run {request_id}: seq {seq} holds other bytes"
            if seq < next_seq
            else f"run {request_id}: seq {seq} would leave a hole, next is {next_seq}"
        )


class RunClosed(LogError):
    """The run has ended; nothing can follow its `closed` event."""

    def __init__(self, request_id: str, seq: int) -> None:
        self.request_id = request_id
        self.seq = seq
        super().__init__(f"run {request_id} is closed; seq {seq} comes too late")


class RunConflict(LogError):
    """A run that is brought in stands in the log already, and is not the same; `seq` tells where."""

    def __init__(self, request_id: str, seq: int, reason: str) -> None:
        self.request_id = request_id
        self.seq = seq
        self.reason = reason
        super().__init__(
            f"run {request_id} is in the log already, and differs at seq {seq}: {reason}"
        )


class EventRefused(LogError):
    """A recorder service does not take this event: too large, or of a kind it does not know."""


class LogUnavailable(LogError):
    """The database could not be reached or could not commit; what was sent may be sent again."""

    retryable = True


class WriterClosed(LogError):
    """The log writer has been closed."""


class SchemaError(LogError):
    """The database is not at the schema this version reads and writes."""


class NotInstrumented(RecorderError):
    """fal's client is missing, too old to be recorded, or recorded already."""


class RunNotFound(RecorderError):
    """No run has this request id."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"no run {request_id}")


class DefinitionNotFound(RecorderError):
    """No definition of this digest is kept."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"no definition {digest}")


class ProjectionFailed(RecorderError):
    """A projection stopped before the event at `position`; recording goes on without it."""

    def __init__(self, name: str, position: int, reason: str) -> None:
        self.name = name
        self.position = position
        self.reason = reason
        super().__init__(f"projection {name} stopped at position {position}: {reason}")


class BadQuery(RecorderError):
    """A filter, cursor or parameter of a query makes no sense; `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class SqlError(RecorderError):
    """A query in SQL has no answer."""


class BadSql(SqlError):
    """DuckDB does not take a query, or it does not merely read; DuckDB's message may have several lines."""


class SqlLimit(SqlError):
    """A query went beyond a limit.

    Attributes:
        name: Of the limit, unit included.
        value: What it was.
    """

    def __init__(self, name: str, value: float) -> None:
        self.name = name
        self.value = value
        super().__init__(f"the query went beyond its limit: {name} is {value:,.15g}")


class SqlCrashed(SqlError):
    """A query ended its process, as one that is nested too deeply does."""

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(f"the query ended its process ({how}); is it nested too deeply?")


class SqlCancelled(SqlError):
    """Nobody waits for a query any more."""

    def __init__(self) -> None:
        super().__init__("the query was cancelled")


class TooManyQueries(SqlError):
    """As many queries as may be are under way."""

    retryable = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} queries are under way; try again when one has ended")


class SourceError(RecorderError):
    """A source of streams could not deliver."""


class BadTarget(SourceError):
    """What to run is neither a workflow id nor the URL of a stream endpoint."""


class MissingKey(SourceError):
    """The endpoint wants a fal key and none is configured."""


class NotRerunnable(SourceError):
    """A run cannot be started again: what it was started with is not in the log."""

    def __init__(self, request_id: str, reason: str) -> None:
        self.request_id = request_id
        self.reason = reason
        super().__init__(f"run {request_id} cannot be started again: {reason}")


class BadTranscript(SourceError):
    """A file cannot be read as a transcript; `path` and, where known, `line` tell where."""

    def __init__(self, path: str, reason: str, *, line: int | None = None) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(f"{path}{'' if line is None else f':{line}'}: {reason}")


class BadRunFile(SourceError):
    """A file is no file of portable runs, or cannot be taken in; `path` names it."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class UpstreamUnreachable(SourceError):
    """No answer with a status came back from the endpoint."""

    retryable = True
