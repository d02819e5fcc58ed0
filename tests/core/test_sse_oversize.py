"""Blocks longer than the decoder's limit: their bytes are kept, and the next event is read."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings

from recorder import sse
from recorder.sse import Decoder, Frame
from tests.core.test_sse_decoder import cut_bodies


class TestBlocksOverTheLimit:
    LIMIT = 24

    def feed(self, *chunks: bytes) -> tuple[list[Frame], bytes]:
        """Feeds a decoder with a small limit, and watches its buffer."""
        decoder = Decoder(max_frame_bytes=self.LIMIT)
        frames = []
        for chunk in chunks:
            frames += decoder.feed(chunk)
            assert len(decoder._pending) <= self.LIMIT
        return frames, decoder.close()

    def test_a_block_at_the_limit_is_read(self) -> None:
        body = b"data: " + b"x" * (self.LIMIT - 8) + b"\n\n"
        assert self.feed(body) == ([Frame(raw=body, data="x" * (self.LIMIT - 8))], b"")

    def test_a_block_over_the_limit_is_a_piece_without_its_blank_line(self) -> None:
        body = b"data: " + b"x" * (self.LIMIT - 7) + b"\n\n"
        assert self.feed(body) == ([Frame(raw=body[:-1], data="", oversize=True)], b"\n")

    def test_the_next_event_is_read_and_its_raw_bytes_begin_with_the_blank_line(self) -> None:
        long = b"data: " + b"x" * 100
        assert self.feed(long, b"\r\n", b"\r\n", b"id: 3\ndata: y\n\n") == (
            [
                Frame(raw=long, data="", oversize=True),
                Frame(raw=b"\r\n", data="", oversize=True),
                Frame(raw=b"\r\nid: 3\ndata: y\n\n", data="y", id="3"),
            ],
            b"",
        )

    def test_a_piece_that_looks_like_an_event_dispatches_nothing(self) -> None:
        frames, rest = self.feed(b"data: " + b"x" * 100, b"data: y\n", b"data: z\n\n")
        assert [frame.oversize for frame in frames] == [True, True]
        assert [sse.decode_data(frame.raw) for frame in frames] == [None, None]
        assert rest == b"\n"

    def test_lines_after_a_piece_belong_to_its_block_though_they_look_like_an_event(self) -> None:
        long = b"data: " + b"x" * 100 + b"\n"
        assert self.feed(long, b"data: y\n\ndata: z\n\n") == (
            [
                Frame(raw=long, data="", oversize=True),
                Frame(raw=b"data: y\n", data="", oversize=True),
                Frame(raw=b"\ndata: z\n\n", data="z"),
            ],
            b"",
        )

    def test_the_fields_of_a_piece_hold_for_nobody(self) -> None:
        decoder = Decoder(max_frame_bytes=self.LIMIT)
        decoder.feed(b"id: 1\nevent: e\ndata: " + b"x" * 100 + b"\n\n")
        (frame,) = decoder.feed(b"data: y\n\n")
        assert frame == Frame(raw=b"\ndata: y\n\n", data="y")

    def test_the_lf_of_a_split_crlf_does_not_count(self) -> None:
        block = b"data: " + b"x" * (self.LIMIT - 8) + b"\n\n"
        frames, rest = self.feed(b"data: x\r\n\r", b"\n", block)
        assert ([frame.oversize for frame in frames], rest) == ([False, False], b"")

    def test_many_pings_leave_the_next_event_whole(self) -> None:
        pings = b": ping\n\n" * 50
        at_once, _ = self.feed(pings + b"data: x\n\n")
        one_by_one, _ = self.feed(*(b": ping\n\n" for _ in range(50)), b"data: x\n\n")
        assert [frame.data for frame in at_once if not frame.oversize] == ["x"]
        assert [frame.data for frame in one_by_one if not frame.oversize] == ["x"]

    @settings(max_examples=500, deadline=None)
    @given(cut_bodies())
    def test_the_events_within_the_limit_are_the_same_in_any_chunks(
        self, cut_body: tuple[bytes, list[int]]
    ) -> None:
        body, cuts = cut_body
        edges = [0, *sorted(cuts), len(body)]
        chunks = [body[start:end] for start, end in pairwise(edges)]
        read = []
        for fed in (chunks, [body], [body[i : i + 1] for i in range(len(body))]):
            frames, rest = self.feed(*fed)
            assert b"".join(frame.raw for frame in frames) + rest == body
            for place, frame in enumerate(frames):
                data = sse.decode_data(frame.raw, strip_bom=place == 0)
                assert data == (None if frame.oversize else frame.data)
            read.append([(each.data, each.event, each.id) for each in frames if not each.oversize])
        assert read[0] == read[1] == read[2]
