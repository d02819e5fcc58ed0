"""The processes of queries, from outside: started, watched, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from analytics.console.asked import Limits
from recorder.errors import SqlCancelled, SqlCrashed, SqlError, SqlLimit

LOOK_EVERY_S: Final = 0.02

_CRASH_S: Final = 5.0
"""A process that has closed its pipes is ending; how, shows within this time."""

# A path of ours to import from is all it is told; -I keeps it from looking anywhere else.
_START: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from analytics.console.worker import main; main()"
)
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that answers one query; see `analytics.console.worker`.

    Attributes:
        to: What it reads.
        answers: What it writes.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # ourselves, and a constant
            [sys.executable, "-I", "-c", _START, *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for whoever asked
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.to: IO[bytes] = self._process.stdin
        self.answers: IO[bytes] = self._process.stdout

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it at once; idempotent."""
        self._process.kill()

    def end(self, patience_s: float = 0.0) -> int:
        """Ends it, if it does not by itself, and forgets it; returns how it ended, see `returncode`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        for pipe in (self.to, self.answers):
            with contextlib.suppress(OSError):  # what was still to be said
                pipe.close()
        return self._process.wait()


class Watch:
    """Watches a worker while its query runs, and kills it where that goes beyond a limit.

    A context manager; nothing is watched after it.

    Args:
        worker: Whom.
        limits: What it may use up.
        cancelled: Set where nobody waits any more.
    """

    def __init__(self, worker: Worker, limits: Limits, cancelled: threading.Event) -> None:
        self._worker = worker
        self._limits = limits
        self._cancelled = cancelled
        self._over = threading.Event()
        self._reason: SqlError | None = None
        self._began_s = time.monotonic()
        self._cpu_before_s = _cpu_s(worker.pid)
        self._thread = threading.Thread(target=self._run, name="sql-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def stop(self, reason: SqlError) -> None:
        """Kills the worker for a reason; the first one holds."""
        self._reason = self._reason or reason
        self._worker.kill()

    def why(self) -> SqlError:
        """Why the worker ended in the middle of its work."""
        self._over.set()
        self._thread.join()
        code = self._worker.end(_CRASH_S)
        if self._reason is not None:
            return self._reason
        if code == -signal.SIGXCPU:
            return SqlLimit("cpu_s", self._limits.cpu_s)
        return SqlCrashed(signal.Signals(-code).name if code < 0 else f"exit code {code}")

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            reason = self._excess()
            if reason is not None:
                self.stop(reason)
                return

    def _excess(self) -> SqlError | None:
        limits = self._limits
        if self._cancelled.is_set():
            return SqlCancelled()
        if time.monotonic() - self._began_s > limits.time_s:
            return SqlLimit("time_s", limits.time_s)
        if _cpu_s(self._worker.pid) - self._cpu_before_s > limits.cpu_s:
            return SqlLimit("cpu_s", limits.cpu_s)
        if _memory_bytes(self._worker.pid) > limits.memory_bytes:
            return SqlLimit("memory_bytes", limits.memory_bytes)
        return None


def _memory_bytes(pid: int) -> int:
    """What a process has of memory for itself; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES


def _cpu_s(pid: int) -> float:
    """The CPU time a process has taken; 0 where the system does not tell, its own limit then holds."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = told.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
