"""What a log must hold after a crash: every acknowledged event, once, at its place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from recorder.store.log import EventLog, all_events


class Place(NamedTuple):
    """Where a sender was told that an event stands."""

    request_id: str
    seq: int
    position: int


class Held(NamedTuple):
    """A log, or the part of it above some position.

    Every event of these tests has a frame of its own, so an event appended twice shows as a frame
    that occurs twice, whatever id it went by.
    """

    places: set[Place]
    seqs: dict[str, list[int]]
    positions: list[int]
    doubled: list[bytes]

    @property
    def ids(self) -> set[tuple[str, int]]:
        """Each event's run and number."""
        return {(place.request_id, place.seq) for place in self.places}


def what_is_held(log: EventLog, after: int = 0) -> Held:
    """Reads a log, from above a position to its end."""
    places, positions = set(), []
    seqs: dict[str, list[int]] = defaultdict(list)
    frames: Counter[bytes] = Counter()
    for row in all_events(log, after):
        places.add(Place(row.request_id, row.seq, row.position))
        positions.append(row.position)
        seqs[row.request_id].append(row.seq)
        frames[row.frame or b""] += 1
    return Held(places, dict(seqs), positions, [each for each, n in frames.items() if n > 1])


def assert_kept(log: EventLog, acknowledged: Iterable[Place], after: int = 0) -> Held:
    """Lost 0, doubled 0, no holes; for runs that began above the position `after`."""
    held = what_is_held(log, after)
    assert set(acknowledged) - held.places == set(), "acknowledged events are lost"
    assert held.doubled == []
    assert held.positions == list(range(after + 1, after + 1 + len(held.positions)))
    assert held.seqs == {run: list(range(len(seqs))) for run, seqs in held.seqs.items()}
    return held
