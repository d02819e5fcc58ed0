"""A recorder killed with SIGKILL at any moment loses nothing it has acknowledged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from recorder.audit import verify
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.spool import Spool
from recorder.writer import LogWriter
from tests.logs import WAIT_S, WatchedLog
from tests.trust.durability.promises import Place, assert_kept, what_is_held
from tests.trust.durability.victims import run_event
from tests.trust.durability.zygote import Zygote
from tests.trust.soak import rounds

LANES = 4
MOST_ACKNOWLEDGEMENTS = 60
KILLED = -9


def kill_writers(url: str, spool: Path, forks: Zygote, count: int) -> None:
    """Kills one writer after the other on one log; each finds what the last one left."""
    chance = random.Random(count)
    end = 0
    acknowledged: list[Place] = []
    for number in range(count):
        victim = forks.start("record", url, str(spool), f"round{number}", str(LANES))
        victim.listen(chance.randrange(MOST_ACKNOWLEDGEMENTS))
        victim.kill()
        assert victim.exit_code == KILLED
        acknowledged += victim.acknowledged
        end = check_round(url, victim.acknowledged, end)
    database = connect(url)
    log = SqlLog(database)
    assert_kept(log, acknowledged)
    assert verify(log).intact
    database.close()


def check_round(url: str, acknowledged: list[Place], after: int) -> int:
    """Looks at what a victim appended; returns the position of the end.

    What the victim sent can be sent again: its events get the places they have.
    """
    database = connect(url)
    log = SqlLog(database)
    held = assert_kept(log, acknowledged, after)
    places = sorted(held.places)
    outcomes = log.append([run_event(place.request_id, place.seq) for place in places])
    assert [getattr(each, "position", each) for each in outcomes] == [
        place.position for place in places
    ]
    end = log.head().position
    assert end == after + len(held.positions)
    database.close()
    return end


def test_a_killed_writer_on_sqlite_has_lost_and_doubled_nothing(
    sqlite_url: str, tmp_path: Path, forks: Zygote
) -> None:
    kill_writers(sqlite_url, tmp_path / "spool", forks, rounds(200, 5_000))


def test_a_killed_writer_on_postgres_has_lost_and_doubled_nothing(
    own_postgres_url: str, tmp_path: Path, forks: Zygote
) -> None:
    kill_writers(own_postgres_url, tmp_path / "spool", forks, rounds(10, 500))


SEGMENTS = 6


def kill_drainers(url: str, folder: Path, forks: Zygote, count: int) -> None:
    """Kills processes that drain a spool, the n-th at the n-th crash point; then one is left alone."""
    spooled: set[tuple[str, int]] = set()
    acknowledged: list[Place] = []
    for number in range(count):
        passes = number % (2 * SEGMENTS)
        victim = forks.start(
            "drain", url, str(folder), f"round{number}", str(SEGMENTS), str(passes)
        )
        victim.listen_to_the_end()
        assert victim.exit_code == KILLED
        spooled |= victim.spooled
        acknowledged += victim.acknowledged
    assert len(spooled) == count * SEGMENTS * 2
    database = connect(url)
    log = SqlLog(database)
    writer = LogWriter(log, spool=Spool(folder, log.instance))
    assert writer.flush(WAIT_S)
    assert writer.close(WAIT_S)
    held = assert_kept(log, acknowledged)
    assert held.ids == spooled
    assert verify(log).intact
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []
    database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_process_killed_while_it_drains_its_spool_leaves_the_rest_to_the_next(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, forks: Zygote
) -> None:
    url: str = request.getfixturevalue(
        {"sqlite": "sqlite_url", "postgres": "own_postgres_url"}[kind]
    )
    kill_drainers(url, tmp_path / "spool", forks, rounds(SEGMENTS, 20 * SEGMENTS))


def test_what_two_processes_adopt_at_once_goes_in_once(
    sqlite_url: str, tmp_path: Path, forks: Zygote
) -> None:
    folder = tmp_path / "spool"
    victim = forks.start("drain", sqlite_url, str(folder), "left", str(SEGMENTS), "0")
    victim.listen_to_the_end()
    database, other = connect(sqlite_url), connect(sqlite_url)
    watched = WatchedLog(SqlLog(other))
    watched.hold()
    slow = LogWriter(watched, spool=Spool(folder, watched.instance))
    watched.wait_for_append()  # it has read the first segment and knows of the others
    log = SqlLog(database)
    fast = LogWriter(log, spool=Spool(folder, log.instance))
    assert fast.flush(WAIT_S)
    watched.release()
    assert slow.flush(WAIT_S)
    assert what_is_held(log).ids == victim.spooled
    assert_kept(log, [])
    [receipt] = slow.submit([run_event("afterwards", 0)]).result(WAIT_S)
    assert receipt.position == len(victim.spooled) + 1
    assert (slow.close(), fast.close()) == (True, True)
    database.close()
    other.close()
