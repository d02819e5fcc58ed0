"""Importing runs: once, unchanged, all of a file or nothing."""

from __future__ import annotations

import io

from recorder.bootstrap import Recorder
from recorder.events import Closed
from recorder.portable.copying import Copied
from recorder.portable.reading import RunFile
from tests.builders import (
    as_new,
    completion,
    history,
    new_event,
    one_step_run,
    output,
    plain_run,
    submit,
)
from tests.portable.archives import (
    lines_of,
    with_lines,
)
from tests.portable.travel import conflict, exported, refusal, taken_in, two_runs
from tests.raw import RawDatabase


def test_importing_twice_changes_nothing(sqlite_rec: Recorder, there: Recorder) -> None:
    two_runs(sqlite_rec)
    data = exported(sqlite_rec, "a", "b/2")
    taken_in(there, data)
    head = there.log.head()
    assert taken_in(there, data) == [Copied("a", 5, 0), Copied("b/2", 5, 0)]
    assert taken_in(sqlite_rec, data) == [Copied("a", 5, 0), Copied("b/2", 5, 0)]
    assert there.log.head() == head


def test_a_later_export_adds_what_is_missing_and_an_earlier_one_nothing(
    sqlite_rec: Recorder, there: Recorder
) -> None:
    whole = history("a", submit("x"), completion("x"), output())
    sqlite_rec.log.append(whole[:2])
    early = exported(sqlite_rec, "a")
    sqlite_rec.log.append(whole[2:])
    late = exported(sqlite_rec, "a")
    assert taken_in(there, early) == [Copied("a", 2, 2)]
    assert there.run("a").status == "running"
    assert taken_in(there, late) == [Copied("a", 5, 3)]
    assert taken_in(there, early) == [Copied("a", 2, 0)]
    assert as_new(there.events("a")) == whole


def test_a_run_that_had_not_ended_is_not_taken_for_one_whose_recorder_died(
    sqlite_rec: Recorder, there: Recorder
) -> None:
    sqlite_rec.log.append(history("a", submit("x"), reason=None))
    taken_in(there, exported(sqlite_rec, "a"))
    with there.database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT request_id FROM open_runs").all()
    assert rows == []
    checks = {finding.check: finding.severity for finding in there.examine()}
    assert checks["open_runs"] == "ok"


def test_a_run_that_is_another_is_a_conflict_and_nothing_is_taken_in(
    sqlite_rec: Recorder, there: Recorder
) -> None:
    sqlite_rec.log.append([*one_step_run("new"), *one_step_run("a", "x")])
    there.log.append(one_step_run("a", "y"))
    data = exported(sqlite_rec, "new", "a")
    assert conflict(there, data) == ("a", 1, "another event stands there")


def test_other_times_are_another_run(sqlite_rec: Recorder, there: Recorder) -> None:
    sqlite_rec.log.append(history("a", submit("x")))
    there.log.append(history("a", submit("x"), every_us=7))
    assert conflict(there, exported(sqlite_rec, "a")) == ("a", 1, "another event stands there")


def test_a_run_that_ended_earlier_here_is_another(sqlite_rec: Recorder, there: Recorder) -> None:
    sqlite_rec.log.append(history("a", submit("x"), reason=None))
    taken_in(there, exported(sqlite_rec, "a"))
    end = new_event("a", 2, Closed(reason="recorder_lost"))
    there.log.append([end])
    sqlite_rec.log.append([new_event("a", 2, output())])
    data = exported(sqlite_rec, "a")
    assert conflict(there, data) == ("a", 2, "another event stands there")
    shorter = exported(there, "a")
    assert conflict(sqlite_rec, shorter) == ("a", 2, "another event stands there")


def test_nothing_follows_the_end_of_a_run(sqlite_rec: Recorder, there: Recorder) -> None:
    there.log.append(history("a", submit("x")))
    data = exported(there, "a")
    longer = with_lines(data, lambda lines: lines.append(lines[-1]))
    assert refusal(sqlite_rec, longer) == "runs/1.ndjson, line 4: follows the end of the run"


def test_erased_frames_are_exported_as_erased_and_not_taken_in(
    rec: Recorder, database_url: str, there: Recorder
) -> None:
    rec.log.append(one_step_run("a"))
    raw = RawDatabase(database_url)
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
    raw.close()
    data = exported(rec, "a")
    line = lines_of(data)[2]
    assert {"frame", "frame_base64", "salt"} & line.keys() == set()
    with RunFile(io.BytesIO(data)) as file:
        file.verify()
    said = "a, seq 2: its frame has been erased, and what is erased cannot be taken in"
    assert refusal(there, data) == said


def test_what_was_erased_here_is_not_brought_back(sqlite_rec: Recorder, sqlite_url: str) -> None:
    sqlite_rec.log.append(one_step_run("a"))
    data = exported(sqlite_rec, "a")
    raw = RawDatabase(sqlite_url)
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE seq = 2")
    raw.close()
    assert conflict(sqlite_rec, data) == ("a", 2, "its frame has been erased here")


def test_a_long_run_is_appended_in_several_transactions(
    sqlite_rec: Recorder, there: Recorder
) -> None:
    events = plain_run("a", 2_500)
    sqlite_rec.log.append(events)
    assert taken_in(there, exported(sqlite_rec, "a")) == [Copied("a", 2_500, 2_500)]
    assert as_new(there.events("a")) == events
