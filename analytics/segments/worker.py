"""Keeps segments up in the background: seldom and in large pieces, for readers see the rest in SQL anyway."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from analytics.archive import Archive
from analytics.segments.exporter import Exporter
from recorder.errors import LogUnavailable

_log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""Between two looks at how much there is to do."""

RETRY_S: Final = 30.0
"""After a failure, which is told once as long as it stays the same."""

MANY_EVENTS: Final = 10_000
"""So many events beyond the segments are exported at once; an answer takes them from SQL in some 15 ms."""

EXPORT_S: Final = 60.0
"""Fewer wait for so long."""

TIDY_S: Final = 600.0
"""Even where nothing happens, files are looked at, merged and deleted so often."""

_MAX_PAUSE_S: Final = 2.0


class Worker:
    """Exports what is new, in a thread of its own.

    A failing export is told in the log and in `failure`, and is tried again; nobody else notices.

    Args:
        archive: What to keep up.

    Attributes:
        failure: One line about the last round, None while all goes well.
    """

    def __init__(self, archive: Archive) -> None:
        self.failure: str | None = None
        self._archive = archive
        self._stop = threading.Event()
        self._look = threading.Event()
        self._damaged = threading.Event()
        self._thread: threading.Thread | None = None
        archive.on_damage(self.look_for_damage)

    def start(self) -> None:
        """Begins; does nothing where there are no segments."""
        if self._archive.folder is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="columns", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends after the round under way; what a round that takes longer writes does not count."""
        self._stop.set()
        self._look.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def look_for_damage(self) -> None:
        """Has the files looked at soon."""
        self._damaged.set()
        self._look.set()

    def _run(self) -> None:
        exporters: list[Exporter] = []
        last_s = tidied_s = time.monotonic()
        while not self._stop.is_set():
            try:
                exporters = exporters or self._archive.exporters()
                now_s = time.monotonic()
                tidy = now_s - tidied_s >= TIDY_S or self._damaged.is_set()
                waiting = max((_waiting(each) for each in exporters), default=0)
                late = waiting > 0 and now_s - last_s >= EXPORT_S
                if tidy or late or waiting >= MANY_EVENTS:
                    self._keep_up(exporters)
                    last_s = time.monotonic()
                    tidied_s = last_s if tidy else tidied_s
                self.failure = None
            except Exception as error:  # questions are answered from SQL; health tells of failures
                self._fail(_one_line(error))
                exporters = []
            self._look.wait(LOOK_S if self.failure is None else RETRY_S)
            self._look.clear()

    def _fail(self, failure: str) -> None:
        if failure != self.failure:
            _log.error("segments: %s", failure)
        self.failure = failure

    def _keep_up(self, exporters: list[Exporter]) -> None:
        for exporter in exporters:
            if self._damaged.is_set():
                exporter.look_for_damage()
            done = "exported"
            while done not in ("nothing", "busy", "overtaken") and not self._stop.is_set():
                began_s = time.monotonic()
                done = exporter.round()
                # Half a core at most: streams pass through the process meanwhile.
                self._stop.wait(min(time.monotonic() - began_s, _MAX_PAUSE_S))
        self._damaged.clear()


def _waiting(exporter: Exporter) -> int:
    """How many events the segments are behind; as good as many where something was erased."""
    listed = exporter.listed()
    if listed.erased:
        return MANY_EVENTS
    return listed.projected.position - listed.exported.position


def _one_line(error: Exception) -> str:
    if isinstance(error, LogUnavailable):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
