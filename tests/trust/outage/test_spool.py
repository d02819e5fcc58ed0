"""The spool: what a segment is, what is left of a damaged one, and whose segments one may take."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import uuid
import zlib
from pathlib import Path

import msgspec
import pytest

from recorder.errors import LogUnavailable, RunClosed
from recorder.lanes import Lane
from recorder.store.log import SqlLog
from recorder.store.spool import Segment, Spool, SpooledEvent, segments
from recorder.writer import LogWriter
from tests.builders import new_event, plain_run, submit
from tests.logs import WAIT_S, WatchedLog
from tests.trust.outage.pausing import FlakySpool, SteppedWriter, files, missing_from, post, run_of

OWNER, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
EVENTS = [SpooledEvent("lane", True, seq, event) for seq, event in enumerate(plain_run("r", 3))] + [
    SpooledEvent(None, True, 0, new_event("é\0", 0, b"\xff\0" * 9))
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def written(folder: Path, number: int = 1, owner: str = OWNER) -> Segment:
    """A segment of a process that has ended."""
    spool = Spool(folder, owner)
    segment = spool.write(number, EVENTS)
    spool.close()
    return segment


def records(data: bytes) -> list[bytes]:
    """What a segment's records hold, read as its documentation says."""
    found = []
    while data:
        size, crc = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        found.append(data[8 : 8 + size])
        assert (len(found[-1]), zlib.crc32(found[-1])) == (size, crc)
        data = data[8 + size :]
    return found


def test_a_segment_is_length_crc_and_record_one_after_the_other(folder: Path) -> None:
    segment = written(folder)
    assert segment.path.name == f"{OWNER}-000000000001.spool"
    kept = records(segment.path.read_bytes())
    assert [msgspec.msgpack.decode(each, type=SpooledEvent) for each in kept] == EVENTS
    assert list(segment.read()) == EVENTS
    assert segment.is_whole()


def test_a_segment_is_synced_before_it_has_its_name_and_its_folder_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append((path.name, files(folder)))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to tell which file was synced")
    monkeypatch.setattr(os, "fsync", fsync)
    name = written(folder).path.name
    part = name.replace(".spool", ".part")
    assert seen == [(part, [part]), ("spool", [name])]


def test_a_torn_segment_is_read_up_to_its_last_whole_record(folder: Path) -> None:
    segment = written(folder)
    data = segment.path.read_bytes()
    ends = [0]
    for record in records(data):
        ends.append(ends[-1] + 8 + len(record))
    for size in range(len(data)):
        segment.path.write_bytes(data[:size])
        whole = sum(end <= size for end in ends[1:])
        assert list(segment.read()) == EVENTS[:whole], size
        assert segment.is_whole() == (size in ends), size


def test_a_damaged_byte_anywhere_ends_the_segment_before_its_record(folder: Path) -> None:
    segment = written(folder)
    data = segment.path.read_bytes()
    damaged_from = [
        index for index, record in enumerate(records(data)) for _ in range(8 + len(record))
    ]
    for at, index in enumerate(damaged_from):
        segment.path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        assert list(segment.read()) == EVENTS[:index], at
        assert not segment.is_whole(), at


def test_a_record_of_another_version_ends_its_segment(folder: Path) -> None:
    segment = written(folder)
    strange = msgspec.msgpack.encode({"version": 2})
    header = len(strange).to_bytes(4, "big") + zlib.crc32(strange).to_bytes(4, "big")
    segment.path.write_bytes(segment.path.read_bytes() + header + strange)
    assert list(segment.read()) == EVENTS
    assert not segment.is_whole()


def test_segments_come_in_the_order_of_their_numbers(folder: Path) -> None:
    spool = Spool(folder, OWNER)
    for number in (10, 9, 2, 100):
        spool.write(number, EVENTS)
    spool.close()
    adopted = Spool(folder, OTHER).adopt()
    assert [int(segment.path.stem[-12:]) for segment in adopted] == [2, 9, 10, 100]


def test_only_whole_names_are_segments(folder: Path) -> None:
    segment = written(folder)
    (folder / f"{OWNER}-000000000002.part").write_bytes(segment.path.read_bytes())
    (folder / f"{OWNER}-000000000003.refused").write_bytes(segment.path.read_bytes())
    (folder / "notes.spool").write_bytes(b"x")
    assert segments(folder) == [segment]
    assert Spool(folder, OTHER).adopt() == [segment]


def test_there_need_be_no_folder(folder: Path) -> None:
    assert segments(folder) == []
    assert Spool(folder, OWNER).adopt() == []


def test_a_living_process_s_segments_stay_its_own(folder: Path) -> None:
    living = Spool(folder, OWNER)
    segment = living.write(1, EVENTS)
    assert Spool(folder, OTHER).adopt() == []
    assert living.adopt() == []
    living.close()
    assert Spool(folder, OTHER).adopt() == [segment]


def test_a_killed_process_s_segments_are_taken(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.trust.outage.test_spool import *\n"
        "spool = Spool(Path(sys.argv[1]), OWNER); spool.write(1, EVENTS)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        spool = Spool(folder, OTHER)
        assert spool.adopt() == []
        process.kill()
        process.wait(WAIT_S)
    [segment] = spool.adopt()
    assert list(segment.read()) == EVENTS


def test_what_a_killed_process_left_beside_its_segments_is_swept_away(folder: Path) -> None:
    living = Spool(folder, OWNER)
    living.write(1, EVENTS)
    gone = written(folder, owner=OTHER)
    kept = [
        f"{OWNER}-000000000002.part",  # being written
        f"{OTHER}-000000000002.refused",
        f"{OTHER}.lock.txt",
        "notes.part",
    ]
    for name in [*kept, f"{OTHER}.lock", f"{OTHER}-000000000003.part"]:
        (folder / name).touch()
    assert Spool(folder, str(uuid.UUID(int=3))).adopt() == [gone]
    kept += [f"{OWNER}.lock", f"{OWNER}-000000000001.spool", gone.path.name]
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)
    assert living.write(3, EVENTS).is_whole()


def test_a_lock_swept_away_while_it_was_being_taken_is_taken_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    swept: list[Path] = []

    def flock(descriptor: int, operation: int) -> None:
        if not swept:
            swept.append(folder / f"{OWNER}.lock")
            swept[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    spool = Spool(folder, OWNER)
    segment = spool.write(1, EVENTS)
    assert Spool(folder, OTHER).adopt() == []
    spool.close()
    assert Spool(folder, OTHER).adopt() == [segment]


def test_what_cannot_be_written_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder, OWNER)
    spool.write(1, EVENTS)

    def fsync(_: int) -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="input/output error"):
        spool.write(2, EVENTS)
    assert files(folder) == [f"{OWNER}-000000000001.spool"]


def test_deleting_twice_does_no_harm(folder: Path) -> None:
    segment = written(folder)
    segment.delete()
    segment.delete()
    assert segments(folder) == []


# What a writer does with them


def left_behind(log: SqlLog, folder: Path) -> tuple[WatchedLog, int]:
    """A process ends while the log is away; two lanes wait in two segments or more."""
    watched = WatchedLog(log)
    watched.away = LogUnavailable("nobody answers")
    spool = FlakySpool(folder)
    writer = SteppedWriter(watched, spool)
    for number in range(2):
        post(writer, Lane(f"r{number}"), LEFT[number])
        if number == 0:
            writer.wait_for_pause()
        else:
            writer.step()
    writer.die(spool)
    return watched, len(segments(folder))


LEFT = [run_of(f"r{number}", submit("a"), submit("b")) for number in range(2)]


def test_a_segment_is_deleted_once_it_is_delivered(log: SqlLog, folder: Path) -> None:
    _, count = left_behind(log, folder)
    assert count >= 2
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert files(folder) == []
    assert [missing_from(log, f"r{n}", LEFT[n]) for n in range(2)] == [(0, 0), (0, 0)]
    assert writer.close()


def test_a_segment_another_adopter_has_delivered_is_no_trouble(log: SqlLog, folder: Path) -> None:
    watched, _ = left_behind(log, folder)
    slow = SteppedWriter(watched, FlakySpool(folder))
    slow.wait_for_pause()
    quick = LogWriter(log, spool=FlakySpool(folder))
    assert quick.flush(WAIT_S)
    watched.away = None
    slow.free()
    assert slow.flush(WAIT_S)
    assert [missing_from(log, f"r{n}", LEFT[n]) for n in range(2)] == [(0, 0), (0, 0)]
    assert log.head().position == sum(map(len, LEFT))
    assert slow.close()
    assert quick.close()


def test_what_can_be_read_of_a_damaged_segment_is_appended_and_the_file_is_kept(
    log: SqlLog, folder: Path
) -> None:
    left_behind(log, folder)
    damaged = segments(folder)[-1].path
    damaged.write_bytes(damaged.read_bytes()[:-3])
    writer = LogWriter(log, spool=FlakySpool(folder))
    assert writer.flush(WAIT_S)
    assert writer.close()
    assert log.head().position == sum(map(len, LEFT)) - 1
    assert files(folder) == [damaged.with_suffix(".damaged").name]


def test_a_writer_whose_own_segment_is_damaged_says_so_and_works_on(
    log: SqlLog, folder: Path
) -> None:
    watched = WatchedLog(log)
    watched.away = LogUnavailable("nobody answers")
    writer = SteppedWriter(watched, FlakySpool(folder))
    sent = writer.submit(plain_run("a", 2))
    writer.wait_for_pause()
    [segment] = segments(folder)
    segment.path.write_bytes(b"\0" * 40)
    watched.away = None
    writer.free()
    assert str(sent.exception(WAIT_S)) == f"{segment.path.name} is damaged"
    assert writer.submit(plain_run("b", 1)).result(WAIT_S)[0].position == 1
    assert writer.close()
    assert files(folder) == [segment.path.with_suffix(".damaged").name]


def test_a_spool_folder_that_cannot_be_read_stops_nobody(log: SqlLog, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{OWNER}-000000000001.spool").mkdir()
    (tmp_path / "spool" / f"{OWNER}.lock").mkdir()
    writer = LogWriter(log, spool=FlakySpool(tmp_path / "spool"))
    assert writer.submit(plain_run("a", 1)).result(WAIT_S)[0].position == 1
    assert writer.close()


def test_what_the_log_refuses_for_good_is_kept_in_one_file(log: SqlLog, folder: Path) -> None:
    spool = FlakySpool(folder)
    writer = LogWriter(log, spool=spool)
    lane = Lane("r")
    run = run_of("r", submit("a"))
    post(writer, lane, run)
    late = [new_event("r", seq, submit(f"late {seq}")) for seq in range(3, 6)]
    for event in late:
        assert isinstance(writer.submit([event], lane=lane).exception(WAIT_S), RunClosed)
    assert writer.close()
    assert files(folder) == [f"{spool.owner}.refused"]
    kept = Segment(folder / f"{spool.owner}.refused")
    assert [spooled.event for spooled in kept.read()] == late
    assert segments(folder) == []


def test_what_is_refused_together_is_kept_together(log: SqlLog, folder: Path) -> None:
    """A recorder taken for dead may have thousands of events left: none waits for a sync each."""
    watched = WatchedLog(log)
    spool = FlakySpool(folder)
    writer = LogWriter(watched, spool=spool)
    lane = Lane("r")
    post(writer, lane, run_of("r"))
    assert writer.flush(WAIT_S)
    watched.hold()
    post(writer, Lane("other"), run_of("other"))
    watched.wait_for_append()
    late = [new_event("r", seq, submit(f"late {seq}")) for seq in range(2, 102)]
    post(writer, lane, late)
    watched.release()
    assert writer.flush(WAIT_S)
    assert writer.close()
    assert spool.refusals == [len(late)]


def test_what_refused_events_find_no_room_leave_nothing_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder, OWNER)
    spool.keep_refused(EVENTS[:2])

    def fsync(_: int) -> None:
        raise OSError("input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="input/output error"):
            spool.keep_refused(EVENTS)
    spool.keep_refused(EVENTS[2:])
    assert list(Segment(folder / f"{OWNER}.refused").read()) == EVENTS
    spool.close()
