"""Random bodies in random chunks, all the way into a log and back; longer with RECORDER_SOAK=1."""

from __future__ import annotations

from itertools import count, pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.bootstrap import Recorder
from recorder.events import CloseReason
from recorder.projections.runs import fold, new_run
from recorder.recording import Recording
from tests.builders import opened
from tests.clocks import ManualClock
from tests.core.test_recording import recorded_body
from tests.histories import wire_frames
from tests.trust.soak import rounds

EXAMPLES = rounds(80, 5_000)
REASONS: list[CloseReason] = ["eof", "cut", "client_gone", "timeout", "refused", "error"]

_shards = st.sampled_from(
    [
        *(b"data", b"data: ", b": ", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\xef\xbb\xbf"),
        *(b"id: \0\n", b"retry: 1\n", b"event: x\n", b'{"type":', b'"submit"', b"}", b"[DONE]"),
        *(b"\xf0\x9f", b"\x98\x80", b"\0", b"\\ud800", b"9" * 5_000, b"[" * 3_000),
    ]
)
_bodies = st.lists(wire_frames | _shards | st.binary(max_size=30), max_size=20).map(b"".join)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> list[bytes]:
    """A body in chunks, empty ones among them."""
    body = draw(_bodies)
    cuts = draw(st.lists(st.integers(0, len(body)), max_size=12))
    return [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]


def test_any_bytes_in_any_chunks_are_kept_folded_and_folded_again(sqlite_rec: Recorder) -> None:
    numbers = count()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(chunked_bodies(), st.sampled_from(REASONS), st.lists(st.integers(-(10**12), 10**12)))
    def check(chunks: list[bytes], reason: CloseReason, jumps_us: list[int]) -> None:
        request_id = f"run-{next(numbers)}"
        clock = ManualClock()
        recording = Recording(sqlite_rec.writer, clock=clock)
        recording.open(opened(request_id))
        for chunk in chunks:
            clock.advance(1_000)
            if jumps_us:
                clock.set_wall(clock.now_us() + jumps_us.pop())
            recording.feed(chunk)
        recording.close(reason)
        recording.wait()
        assert recording.fault is None
        assert recorded_body(sqlite_rec, request_id) == b"".join(chunks)
        events = list(sqlite_rec.events(request_id))
        assert [event.seq for event in events] == list(range(len(events)))
        assert sqlite_rec.run(request_id) == fold(new_run(request_id), events)

    check()
    assert sqlite_rec.rebuild().differences == 0
    assert sqlite_rec.verify().intact
