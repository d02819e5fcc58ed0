"""Asks one question of a database and its segments, and prints the most memory this process ever had, in MiB."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from analytics.archive import Archive
from analytics.segments.folder import LocalFolder
from bench.question_floors import MEASURED
from bench.questions import ask_ms
from recorder.store.engine import connect

if __name__ == "__main__":
    url, folder, name = sys.argv[1:]
    (question,) = [each.question for each in MEASURED if each.name == name]
    with closing(connect(url)) as database, Archive(database, LocalFolder(Path(folder))) as archive:
        ask_ms(archive, question)
    # What getrusage tells would be the most of whoever started this process, if that had more.
    [peak] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    print(int(peak.split()[1]) / 1_024)
