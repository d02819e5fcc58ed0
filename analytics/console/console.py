"""Asking the console: one process a query, watched; one more kept ready, so that nobody waits for its start."""

from __future__ import annotations

import threading
from typing import IO, Final

from analytics.archive import Archive
from analytics.console.asked import Answer, Done, Failed, Fed, Needed, Query, Supplied
from analytics.console.feeding import supply, write_relation
from analytics.console.pipe import hear, say
from analytics.console.process import Watch, Worker
from analytics.relations import Kind
from recorder.closing import Closing
from recorder.errors import BadSql, SqlCancelled, SqlLimit, TooManyQueries

AT_A_TIME: Final = 2


class Console(Closing):
    """Answers queries over what is recorded. Safe to use from several threads.

    Args:
        archive: What is recorded, with its segments.
        at_a_time: How many queries may be under way.
        ahead: Keep a process ready for the next query, from the first one on.
    """

    def __init__(self, archive: Archive, *, at_a_time: int = AT_A_TIME, ahead: bool = True) -> None:
        self._archive = archive
        self._at_a_time = at_a_time
        self._ahead = ahead
        self._turn = threading.Lock()
        self._ready: Worker | None = None
        self._under_way: set[Worker] = set()
        self._closed = False

    def ask(
        self, query: Query, into: IO[bytes], *, cancelled: threading.Event | None = None
    ) -> Answer:
        """Answers a query.

        Args:
            query: The question.
            into: Where the answer's bytes go; if this raises, they are no answer.
            cancelled: Set it where nobody waits any more.

        Raises:
            BadSql: DuckDB does not take it, or it does not merely read.
            SqlLimit: It went beyond a limit.
            SqlCrashed: It ended its process.
            SqlCancelled: `cancelled` was set, or the console closed.
            TooManyQueries: As many as may be are under way.
            LogUnavailable: The database does not answer.
        """
        if "\0" in query.sql:
            raise BadSql("the query holds a NUL")
        worker = self._begin()
        try:
            with Watch(worker, query.limits, cancelled or threading.Event()) as watch:
                try:
                    return self._converse(worker, query, into)
                except (EOFError, BrokenPipeError):
                    raise self._closing() or watch.why() from None
        finally:
            self._finish(worker)

    def close(self) -> None:
        """Ends all queries and takes no more; idempotent."""
        with self._turn:
            self._closed = True
            ready, self._ready = self._ready, None
            for worker in self._under_way:
                worker.kill()
        if ready is not None:
            ready.kill()
            ready.end()

    def _begin(self) -> Worker:
        with self._turn:
            if self._closed:
                raise SqlCancelled
            if len(self._under_way) >= self._at_a_time:
                raise TooManyQueries(self._at_a_time)
            ready, self._ready = self._ready, None
            worker = ready if ready is not None and ready.is_alive else Worker()
            self._under_way.add(worker)
        if ready is not None and ready is not worker:
            ready.end()  # it has been idle for too long
        return worker

    def _finish(self, worker: Worker) -> None:
        worker.kill()
        worker.end()
        with self._turn:
            self._under_way.discard(worker)
            if self._ahead and self._ready is None and not self._closed:
                self._ready = Worker()

    def _closing(self) -> SqlCancelled | None:
        return SqlCancelled() if self._closed else None

    def _converse(self, worker: Worker, query: Query, into: IO[bytes]) -> Answer:
        try:
            say(worker.to, query)
        except OverflowError:
            raise BadSql(
                "a parameter has more than 64 bits; give it as text, and cast it"
            ) from None
        word = hear(worker.answers)
        if isinstance(word, Needed):
            self._feed(worker, word.relations)
        result_bytes = 0
        while True:
            if isinstance(word, bytes):
                result_bytes += len(word)
                if result_bytes > query.limits.result_bytes:
                    raise SqlLimit("result_bytes", query.limits.result_bytes)
                into.write(word)
            elif isinstance(word, Failed):
                raise _refusal(word, query)
            elif isinstance(word, Done):
                return word.answer
            word = hear(worker.answers)

    def _feed(self, worker: Worker, names: list[Kind]) -> None:
        with supply(self._archive, names) as supplied:
            for name, source in supplied.relations.items():
                say(worker.to, Supplied(name, source.files, source.not_counting))
                write_relation(source.rest, worker.to)
                worker.to.flush()
        say(worker.to, Fed(supplied.as_of_position))


def _refusal(word: Failed, query: Query) -> BadSql | SqlLimit:
    if word.out_of_memory:
        return SqlLimit("memory_bytes", query.limits.memory_bytes)
    return BadSql(word.message)
