"""The log against a model slow and plain enough to be right by reading it."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.audit import verify
from recorder.errors import RunClosed, SequenceConflict
from recorder.events import NewEvent
from recorder.store.engine import Database
from recorder.store.log import Outcome, Receipt, SqlLog, all_events
from tests.builders import as_new

_examples = count()


class ModelLog:
    """A list, searched from its beginning for every question."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []

    def append(self, batch: list[NewEvent]) -> list[tuple[object, ...]]:
        return [self._take(event) for event in batch]

    def _take(self, event: NewEvent) -> tuple[object, ...]:
        mine = [each for each in self.events if each.request_id == event.request_id]
        for each in mine:
            if each.seq == event.seq:
                if each.frame == event.frame:
                    return "receipt", self.events.index(each) + 1
                return "conflict", event.seq, len(mine)
        if any(each.type == "closed" for each in mine):
            return "closed", event.seq
        if event.seq != len(mine):
            return "conflict", event.seq, len(mine)
        self.events.append(event)
        return "receipt", len(self.events)


def told(outcome: Outcome, start: int) -> tuple[object, ...]:
    """An outcome in the model's words, positions counted from `start`."""
    match outcome:
        case Receipt():
            return "receipt", outcome.position - start
        case SequenceConflict():
            return "conflict", outcome.seq, outcome.next_seq
        case RunClosed():
            return "closed", outcome.seq


run_names = st.sampled_from(["a", "b", "c"])
new_events = st.builds(
    NewEvent,
    request_id=run_names,
    seq=st.integers(0, 5),
    type=st.sampled_from(["submit", "submit", "submit", "closed"]),
    frame=st.sampled_from([b"x", b"x", b"x", b"y"]),
    received_at=st.just(1),
    elapsed_us=st.just(2),
)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[int, list[NewEvent]]]:
    """Batches for two writers: next events mostly, and anything else now and then."""
    next_seq = dict.fromkeys("abc", 0)
    result = []
    for _ in range(draw(st.integers(1, 8))):
        batch = []
        for event in draw(st.lists(new_events, max_size=8)):
            seq = event.seq
            if draw(st.integers(0, 3)):
                seq = next_seq[event.request_id]
                next_seq[event.request_id] += 1
            batch.append(NewEvent(event.request_id, seq, event.type, event.frame, 1, 2))
        result.append((draw(st.integers(0, 1)), batch))
    return result


@given(plan=batches())
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_batches_from_two_writers_end_as_in_the_model(
    database: Database, plan: list[tuple[int, list[NewEvent]]]
) -> None:
    # One database serves all examples: each has its own runs, and positions count from its start.
    prefix = f"{next(_examples)}/"
    logs = [SqlLog(database), SqlLog(database)]
    start = logs[0].head().position
    model = ModelLog()
    for writer, batch in plan:
        mine = [
            NewEvent(prefix + each.request_id, each.seq, each.type, each.frame, 1, 2)
            for each in batch
        ]
        outcomes = logs[writer].append(mine)
        assert [told(each, start) for each in outcomes] == model.append(mine)
    assert as_new(all_events(logs[0], start)) == model.events
    assert verify(logs[0]).intact
