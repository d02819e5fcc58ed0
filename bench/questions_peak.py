"""Asks one question of a database and its segments, and prints the most memory this process ever had, in MiB."""

from __future__ import annotations

import sys
from pathlib import Path

from analytics.archive import Archive
from analytics.segments.folder import LocalFolder
from bench.questions import ours
from recorder.store.engine import connect


def peak_mib() -> float:
    """As the kernel tells it of this program; `getrusage` counts what the parent had before it became another."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1_024


if __name__ == "__main__":
    path, segments, name = sys.argv[1:]
    with Archive(connect(f"sqlite:///{path}"), LocalFolder(Path(segments))) as archive:
        ours(archive, name)
    print(peak_mib())
