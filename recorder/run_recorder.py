"""The half of a recorder that records: it needs a log to append to, and reads nothing back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Final, Protocol, overload

from recorder.clock import Clock
from recorder.closing import Closing
from recorder.definitions import Definitions
from recorder.documents import as_text
from recorder.events import Opened
from recorder.recording import Item, Recording, record_async_items, record_items
from recorder.writer import LogWriter

_log = logging.getLogger(__name__)

CLOSE_S: Final = 10.0

_GRACE_S: Final = 1.0
"""A thread gets as long as this to stop, however long closing has taken already."""


def iterated(workflow: str, input: bytes | None, request_id: str | None) -> Opened:
    """The document of a run whose stream is somebody's iterator."""
    text, in_base64 = as_text(input or b"")
    return Opened(
        workflow=workflow,
        source="iterator",
        upstream_request_id=request_id,
        input=text,
        input_base64=in_base64,
    )


class LooksAfter(Protocol):
    """What shows that a recorder lives."""

    def look(self) -> None:
        """Shows it once, and sees to what dead recorders have left."""

    def run(self, stop: threading.Event) -> None:
        """Looks again and again until told to stop."""


class RunRecorder(Closing):
    """Records runs. Safe to use from several threads.

    Attributes:
        writer: Appends to the log.
        watch: Shows that this recorder lives, from its first recording on.
        definitions: Names the definitions of the workflows that are run.
    """

    def __init__(
        self,
        writer: LogWriter,
        watch: LooksAfter,
        definitions: Definitions,
        *,
        clock: Clock | None = None,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        self.writer = writer
        self.watch = watch
        self.definitions = definitions
        self._clock = clock
        self._release = release
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._starting = threading.Lock()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Commits what is on its way, stops the threads, closes connections; idempotent.

        A log that hangs is not waited for much longer than the timeout: what it has not taken is in the
        spool then, for the next process, and threads that wait for it end with this one.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            self.writer.close(timeout_s)
            self.definitions.close()
        finally:
            self._stop.set()
            self._end_waits()
            for thread in self._threads.values():
                thread.join(max(deadline_s - time.monotonic(), _GRACE_S))
            self._release()

    def _end_waits(self) -> None:
        """Wakes threads that wait for something else than to be stopped."""

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
        document = iterated(workflow, input, request_id)
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
        recording = self.new_recording()
        recording.open(document)
        return recording

    def new_recording(self) -> Recording:
        """A recording that is still to be opened; its clock runs from now on."""
        self._keep_watch()
        return Recording(self.writer, clock=self._clock, definitions=self.definitions)

    def _keep_watch(self) -> None:
        """From the first recording on, shows signs of life and closes the runs of dead recorders."""
        try:
            self._start_thread("watch", self.watch.run)
        except RuntimeError as error:  # no thread to be had: the caller's stream goes on
            _log.error("no signs of life will be given: %s", error)

    def _start_thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        with self._starting:
            if name not in self._threads:
                thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
                thread.start()
                self._threads[name] = thread
