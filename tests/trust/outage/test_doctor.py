"""What the doctor finds, and that it finds nothing where all is well."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from recorder.doctor import Finding, examine
from recorder.errors import LogUnavailable, ProjectionFailed
from recorder.events import Closed, Gap, encode_document
from recorder.lanes import Lane
from recorder.lease import LEASE_S, Watch
from recorder.projector import Projector, rebuild
from recorder.store.engine import Database, connect
from recorder.store.log import SqlLog
from recorder.store.spool import segments
from recorder.writer import LogWriter
from tests.builders import history, new_event, one_step_run, opened, submit
from tests.clocks import ManualClock
from tests.logs import WAIT_S, WatchedLog
from tests.raw import RawDatabase
from tests.test_projector import folded, projected
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, post, run_of

CHECKS = ["chain", "projection", "gaps", "orphans", "open_runs", "interrupted", "spool"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def healthy(database: Database, log: SqlLog) -> Projector:
    """A log with two runs that went well, all of it projected."""
    log.append([*one_step_run("a"), *one_step_run("b")])
    projector = Projector(database, log)
    projector.catch_up()
    return projector


def not_ok(database: Database, log: SqlLog, folder: Path) -> dict[str, Finding]:
    """What is wrong; every check has its say."""
    findings = examine(database, log, folder)
    assert [each.check for each in findings][: len(CHECKS)] == CHECKS
    return {each.check: each for each in findings if each.severity != "ok"}


def test_all_is_well(database: Database, log: SqlLog, folder: Path, healthy: Projector) -> None:
    assert not_ok(database, log, folder) == {}


def test_an_empty_log_is_well(database: Database, log: SqlLog, folder: Path) -> None:
    assert not_ok(database, log, folder) == {}


def test_a_changed_frame_breaks_the_chain(
    database: Database, log: SqlLog, raw: RawDatabase, folder: Path, healthy: Projector
) -> None:
    raw.drop_guards()
    raw.execute("UPDATE events SET frame = ? WHERE position = 3", b"data: {}\n\n")
    found = not_ok(database, log, folder)
    raw.execute("UPDATE events SET frame = NULL, salt = NULL WHERE position = 3")
    assert [*found] == ["chain"]
    assert found["chain"].severity == "problem"
    assert found["chain"].examples == ["position 3"]


def test_a_run_that_the_tables_lack_is_a_problem_which_a_rebuild_mends(
    database: Database, log: SqlLog, raw: RawDatabase, folder: Path, healthy: Projector
) -> None:
    raw.execute("DELETE FROM runs WHERE request_id = 'a'")
    assert not_ok(database, log, folder) == {
        "projection": Finding(
            "projection",
            "problem",
            "the tables lack 1 run of the log; run `recorder rebuild`",
            ["a"],
        )
    }
    rebuild(database, log)
    assert not_ok(database, log, folder) == {}


def test_a_damaged_page_that_nothing_else_reads_is_a_problem(sqlite_url: str, folder: Path) -> None:
    database, raw = connect(sqlite_url), RawDatabase(sqlite_url)
    SqlLog(database).append(one_step_run("a"))
    Projector(database, SqlLog(database)).catch_up()
    database.close()
    [(page,)] = raw.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'ix_runs_generation_opened_at'"
    )
    [(page_bytes,)] = raw.execute("PRAGMA page_size")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    with Path(sqlite_url.removeprefix("sqlite:///")).open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    reopened = connect(sqlite_url)
    found = not_ok(reopened, SqlLog(reopened), folder)
    assert [*found] == ["file"]
    assert found["file"].severity == "problem"
    assert found["file"].examples != []
    reopened.close()


def test_a_gap_is_a_problem(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    document = Gap(lost_events=4, lost_bytes=99, reason="no room")
    gap = new_event("r", 1, encode_document(document))
    end = new_event("r", 2, Closed(reason="eof"))
    log.append([*history("r", reason=None), msgspec.structs.replace(gap, type="gap"), end])
    healthy.catch_up()
    gaps = not_ok(database, log, folder)["gaps"]
    assert (gaps.severity, gaps.examples) == ("problem", ["r"])


def test_a_run_without_its_beginning_is_an_orphan(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    log.append([new_event("orphan", 0, submit("a"))])
    healthy.catch_up()
    found = not_ok(database, log, folder)
    assert [*found] == ["orphans"]
    assert (found["orphans"].severity, found["orphans"].examples) == ("notice", ["orphan"])


def test_a_projection_may_be_behind(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    log.append(one_step_run("c"))
    found = not_ok(database, log, folder)
    assert [*found] == ["projection"]
    assert found["projection"].severity == "notice"


def restore_backup(raw: RawDatabase, position: int) -> None:
    """The log as it was at a position; what was derived from it later stays."""
    raw.drop_guards()
    raw.execute("DELETE FROM events WHERE position > ?", position)
    [(chain,)] = raw.execute("SELECT chain FROM events WHERE position = ?", position)
    raw.execute("UPDATE log_head SET position = ?, chain = ?", position, chain)


@pytest.mark.parametrize("then", [0, 1, 2], ids=["shorter", "as long", "longer"])
def test_a_restored_backup_is_found_stops_the_projector_and_a_rebuild_mends_it(  # noqa: PLR0917
    database: Database,
    log: SqlLog,
    raw: RawDatabase,
    folder: Path,
    healthy: Projector,
    then: int,
) -> None:
    restore_backup(raw, 5)
    restored = SqlLog(database)
    for number in range(then):
        restored.append(one_step_run(f"new-{number}"))
    found = not_ok(database, restored, folder)
    assert [*found] == ["projection"]
    assert found["projection"].severity == "problem"
    assert "`recorder rebuild`" in found["projection"].summary
    projector = Projector(database, restored)
    with pytest.raises(ProjectionFailed, match="run a rebuild"):
        projector.catch_up()
    assert projector.failure is not None
    rebuild(database, restored)
    projector.catch_up()
    assert projected(database) == folded(restored)
    assert not_ok(database, restored, folder) == {}


def test_an_open_run_without_a_recorder_is_lost_and_then_interrupted(
    database: Database, log: SqlLog, raw: RawDatabase, folder: Path, healthy: Projector
) -> None:
    dead = SqlLog(database, instance="dead")
    dead.append(history("r", submit("a"), document=opened("r", recorder="dead"), reason=None))
    healthy.catch_up()
    assert not_ok(database, log, folder) == {}
    raw.execute("DELETE FROM recorders")
    found = not_ok(database, log, folder)
    assert [*found] == ["open_runs"]
    assert (found["open_runs"].severity, found["open_runs"].examples) == ("notice", ["r"])
    clock = ManualClock()
    watch = Watch(database, log, clock=clock)
    watch.close_lost_runs()
    clock.advance(round(LEASE_S * 1_000_000))
    assert watch.close_lost_runs() == ["r"]
    healthy.catch_up()
    found = not_ok(database, log, folder)
    assert [*found] == ["interrupted"]
    assert (found["interrupted"].severity, found["interrupted"].examples) == ("notice", ["r"])


def left_in_the_spool(log: SqlLog, folder: Path) -> Path:
    """A process ended while the log was away."""
    watched = WatchedLog(log)
    watched.away = LogUnavailable("nobody answers")
    spool = FlakySpool(folder)
    writer = SteppedWriter(watched, spool)
    with writer._changed:
        post(writer, Lane("r"), run_of("r", submit("a")))
    writer.wait_for_pause()
    writer.die(spool)
    [segment] = segments(folder)
    return segment.path


def test_what_waits_in_the_spool_is_told_until_it_is_delivered(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    path = left_in_the_spool(log, folder)
    found = not_ok(database, log, folder)
    assert [*found] == ["spool"]
    assert (found["spool"].severity, found["spool"].examples) == ("notice", [path.name])
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert writer.close()
    healthy.catch_up()
    assert not_ok(database, log, folder) == {}


def test_a_torn_file_in_the_spool_is_a_problem_before_and_after_it_is_adopted(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    path = left_in_the_spool(log, folder)
    path.write_bytes(path.read_bytes()[:-1])
    found = not_ok(database, log, folder)
    assert [*found] == ["spool"]
    assert (found["spool"].severity, found["spool"].examples) == ("problem", [path.name])
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert writer.close()
    damaged = not_ok(database, log, folder)["damaged"]
    kept = path.with_suffix(".damaged").name
    assert (damaged.severity, damaged.examples) == ("problem", [kept])


def test_what_a_recorder_sends_that_was_taken_for_dead_is_told_run_by_run(
    database: Database, log: SqlLog, folder: Path, healthy: Projector
) -> None:
    writer = LogWriter(log, spool=FlakySpool(folder))
    lanes = [Lane("r"), Lane("s")]
    for lane in lanes:
        post(writer, lane, run_of(lane.request_id, closes=False))
    assert writer.flush(WAIT_S)
    for lane in lanes:
        log.append([new_event(lane.request_id, 1, Closed(reason="recorder_lost"))])
    post(writer, lanes[0], [new_event("r", 1, submit("a")), new_event("r", 2, submit("b"))])
    post(writer, lanes[1], [new_event("s", 1, submit("a"))])
    assert writer.close()
    healthy.catch_up()
    found = not_ok(database, log, folder)
    assert [*found] == ["interrupted", "refused"]
    assert found["refused"] == Finding(
        "refused",
        "problem",
        f"the log refused 3 events of 2 runs, kept in 1 file in {folder}; delete what nobody needs "
        "any more",
        ["r: 2 events", "s: 1 event"],
    )
