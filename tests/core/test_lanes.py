"""Where events of a lane stand once others before them were given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.events import NewEvent
from recorder.lanes import Lane

SEQS = 40


def event(seq: int) -> NewEvent:
    return NewEvent("run", seq, "submit", b"", 0, 0)


@given(
    st.lists(st.integers(0, SEQS), unique=True),
    st.lists(st.tuples(st.integers(0, SEQS), st.booleans())),
)
def test_an_event_moves_up_by_all_lost_before_it_but_a_gap_each_whatever_is_lost_first(
    lost: list[int], asked: list[tuple[int, bool]]
) -> None:
    lane = Lane("run")
    losses = []
    for place, seq in enumerate(lost):
        parcel = lane.lose([event(seq)], "no room")
        if parcel is not None:
            losses.append(parcel.loss)
        for wanted, seals in asked[place : place + 2]:
            before = [loss for loss in losses if loss is not None and loss.first.seq < wanted]
            assert lane.final_seq(wanted) == wanted - sum(loss.events - 1 for loss in before)
            if seals:
                lane.seal()
