"""A rebuild takes the memory it takes, however long the log is; a million events with RECORDER_SOAK=1."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recorder.store.engine import connect
from recorder.store.log import SqlLog
from tests.builders import history, output, submit
from tests.trust.soak import rounds

MIB = 1024 * 1024
EVENTS = rounds(5_000, 100_000)
EVENTS_A_RUN = 5
RUNS_AT_ONCE = 200


def fill(url: str, first: int, runs: int) -> None:
    database = connect(url)
    log = SqlLog(database)
    for start in range(first, first + runs, RUNS_AT_ONCE):
        log.append(
            [
                event
                for number in range(start, start + RUNS_AT_ONCE)
                for event in history(f"run-{number}", submit("a"), submit("b"), output())
            ]
        )
    database.close()


def grown_bytes(url: str) -> int:
    """By how much a process grows that rebuilds."""
    command = [sys.executable, "-m", "tests.trust.rebuilding_process", url]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_rebuild_of_ten_times_the_events_takes_no_more_memory(sqlite_url: str) -> None:
    runs = EVENTS // EVENTS_A_RUN
    fill(sqlite_url, 0, runs)
    of_one = grown_bytes(sqlite_url)
    fill(sqlite_url, runs, 9 * runs)
    of_ten = grown_bytes(sqlite_url)
    assert of_ten - of_one < 4 * MIB
