"""What a well-formed replay writes for an event, whatever its frame looks like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder import replay, sse
from tests.builders import logged, new_event

PIECES = [
    *(
        b"data: x",
        b"data:y",
        b"data",
        b"data:  {}",
        b"data: \xff",
        "data: é\u2028\x0c\x1c".encode(),
    ),
    *(b"event: e", b"id: 7", b": ping", b"retry: 5", b"dat", b"x" * 9, b"\xef\xbb\xbf", b"\x00"),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"),
]


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=24))
def test_a_block_says_what_the_frame_said_under_the_events_seq(pieces: list[bytes]) -> None:
    frames = sse.Decoder().feed(b"".join(pieces) + b"\n\n")
    rows = logged([new_event("run", seq, each.raw) for seq, each in enumerate(frames, 1)])
    again = sse.Decoder().feed(b"".join(map(replay.well_formed, rows)))
    assert [(each.data, each.event, each.id) for each in again] == [
        (each.data, each.event, str(seq)) for seq, each in enumerate(frames, 1)
    ]
