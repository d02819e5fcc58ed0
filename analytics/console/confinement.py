"""What a query's process gives up before it looks at the query. All of it is for good."""

from __future__ import annotations

import contextlib
import math
import os
import resource
from pathlib import Path
from typing import Final

from analytics.console.asked import Limits

_GIBIBYTE: Final = 1024**3
_PAGE_BYTES: Final = resource.getpagesize()
_SPARE_CPU_S: Final = 2
"""The kernel ends a process this much later than we would, should we not be there."""

_FILES: Final = 256
_NICE: Final = 10
"""Streams that pass through the service come first."""


def confine(limits: Limits) -> None:
    """Lowers this process's limits: it can write no file, and grow and work no further than asked for."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = math.ceil(spent.ru_utime + spent.ru_stime + limits.cpu_s) + _SPARE_CPU_S
    _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _FILES)
    # Allocators reserve far more than they use, so this is the last resort; what is used is watched.
    if (mapped_bytes := _mapped_bytes()) is not None:
        _lower(resource.RLIMIT_AS, mapped_bytes + 2 * limits.memory_bytes + _GIBIBYTE)
    with contextlib.suppress(OSError):
        os.nice(_NICE)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _mapped_bytes() -> int | None:
    """The size of this process's address space; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE_BYTES
    except OSError:
        return None
