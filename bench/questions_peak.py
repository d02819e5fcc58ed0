"""Asks one question of a database and its segments, and prints the most memory this process ever had, in MiB."""

from __future__ import annotations

import sys
from pathlib import Path

from analytics.archive import Archive
from analytics.segments.folder import LocalFolder
from bench.questions import ours
from recorder.store.engine import connect
from tests.trust.memory import peak_rss_bytes

if __name__ == "__main__":
    path, segments, name = sys.argv[1:]
    with Archive(connect(f"sqlite:///{path}"), LocalFolder(Path(segments))) as archive:
        ours(archive, name)
    print(peak_rss_bytes() / 2**20)
