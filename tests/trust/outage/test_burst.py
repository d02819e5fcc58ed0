"""Half a million events in ten seconds with RECORDER_SOAK=1, else half a second at the same pace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.events import Gap
from recorder.store.engine import connect
from recorder.store.log import SqlLog, all_events
from tests.trust.outage.burst_process import STREAMS
from tests.trust.soak import rounds

MIB = 1024 * 1024
EVENTS_A_SECOND = 50_000
EVENTS = rounds(EVENTS_A_SECOND // 2, 10 * EVENTS_A_SECOND)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.mark.parametrize("database", ["works", "hangs"])
def test_a_burst_takes_bounded_memory_and_every_event_of_it_is_kept_or_counted(
    sqlite_url: str, tmp_path: Path, database: str
) -> None:
    module = "tests.trust.outage.burst_process"
    arguments = [sqlite_url, str(tmp_path / "spool"), str(EVENTS), str(EVENTS_A_SECOND), database]
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=True
    )
    found = json.loads(process.stdout)
    assert found["grown_bytes"] <= 256 * MIB
    assert found["broken"] == []
    opened = connect(sqlite_url)
    log = SqlLog(opened)
    types: Counter[str] = Counter()
    gaps = []
    for row in all_events(log):
        types[row.type] += 1
        gaps += [row.event] if row.type == "gap" else []
    intact = verify(log).intact
    opened.close()
    assert intact
    assert (types["opened"], types["closed"]) == (STREAMS, STREAMS)
    lost = sum(gap.lost_events for gap in gaps if isinstance(gap, Gap))
    assert types["completion"] + lost == EVENTS
