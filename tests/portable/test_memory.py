"""A run need not fit in memory to travel."""

from __future__ import annotations

from pathlib import Path

from recorder.bootstrap import Recorder
from recorder.events import Closed
from recorder.portable.copying import Copied
from tests.builders import new_event, opened, submit
from tests.trust.hostile.cases import MIB
from tests.trust.hostile.test_memory import peak


def test_a_run_is_exported_and_imported_a_few_events_at_a_time(
    sqlite_rec: Recorder, there: Recorder, tmp_path: Path
) -> None:
    frames = 60
    sqlite_rec.log.append([new_event("a", 0, opened("a"))])
    for seq in range(1, frames + 1):
        sqlite_rec.log.append([new_event("a", seq, submit("x" * MIB))])
    sqlite_rec.log.append([new_event("a", frames + 1, Closed(reason="eof"))])
    path = tmp_path / "a.run.zip"
    with peak() as writing, path.open("wb") as file:
        for piece in sqlite_rec.export(["a"]):
            file.write(piece)
    with peak() as reading:
        copied = there.import_runs(path)
    assert copied == [Copied("a", frames + 2, frames + 2)]
    assert (writing.value < 16 * MIB, reading.value < 56 * MIB) == (True, True), (
        writing.value,
        reading.value,
    )
