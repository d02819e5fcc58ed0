"""The decoder against the HTML standard: a table of cases, and a reference it is fuzzed against."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import sse
from recorder.sse import Decoder, Frame
from tests.core.reference_sse import Interpreted, ReferenceEvent, interpret

BOM = b"\xef\xbb\xbf"


def event(
    data: str, event: str = "message", id: str = "", retry: int | None = None
) -> ReferenceEvent:
    return ReferenceEvent(data, event, id, retry)


class Case(NamedTuple):
    name: str
    body: bytes
    events: list[ReferenceEvent]
    last_event_id: str = ""
    reconnection_time_ms: int | None = None


X, Y = event("x"), event("y")

CASES = [
    # Line ends
    Case("LF ends lines", b"data: x\n\ndata: y\n\n", [X, Y]),
    Case("CRLF ends lines", b"data: x\r\n\r\ndata: y\r\n\r\n", [X, Y]),
    Case("CR ends lines", b"data: x\r\rdata: y\r\r", [X, Y]),
    Case("LF then CR", b"data: x\n\rdata: y\n\r", [X, Y]),
    Case("CR then CRLF", b"data: x\r\r\ndata: y\r\r\n", [X, Y]),
    Case("CRLF then LF", b"data: x\r\n\ndata: y\r\n\n", [X, Y]),
    Case("CRLF then CR", b"data: x\r\n\rdata: y\r\n\r", [X, Y]),
    Case("LF then CRLF", b"data: x\n\r\ndata: y\n\r\n", [X, Y]),
    Case("a lone CRLF is one line end", b"data: x\r\ndata: y\r\n\r\n", [event("x\ny")]),
    Case("blank lines more than needed", b"\n\r\n\rdata: x\n\n\n\r\r\n\ndata: y\n\n", [X, Y]),
    Case("no line end at LINE SEPARATOR", "data: a\u2028b\n\n".encode(), [event("a\u2028b")]),
    Case("no line end at PARAGRAPH SEPARATOR", "data:\u2029\n\n".encode(), [event("\u2029")]),
    Case("no line end at NEXT LINE", "data: a\x85b\n\n".encode(), [event("a\x85b")]),
    Case("no line end at VT and FF", b"data: a\x0bb\x0cc\n\n", [event("a\x0bb\x0cc")]),
    Case("no line end at FS, GS and RS", b"data: \x1c\x1d\x1e\n\n", [event("\x1c\x1d\x1e")]),
    # The end of the stream
    Case("nothing", b"", []),
    Case("a block without its blank line", b"data: x", []),
    Case("a block with its last line only ended", b"data: x\n", []),
    Case("an unfinished block after a finished one", b"data: x\n\ndata: y\r\n", [X]),
    Case("an id in an unfinished block is not taken", b"id: 1\n\nid: 2\n", [], "1"),
    # The byte order mark
    Case("a byte order mark", BOM + b"data: x\n\n", [X]),
    Case("a byte order mark and nothing", BOM, []),
    Case("two byte order marks", BOM + BOM + b"data: x\n\ndata: y\n\n", [Y]),
    Case("a byte order mark in the middle", b"data: x\n\n" + BOM + b"data: n\n\n", [X]),
    Case("a byte order mark in data", b"data: x" + BOM + b"\n\n", [event("x\ufeff")]),
    Case("a byte order mark before a blank line", BOM + b"\n\ndata: x\n\n", [X]),
    Case("a part of a byte order mark", b"\xef\xbbdata: x\n\ndata: y\n\n", [Y]),
    # data
    Case("data lines are joined", b"data: x\ndata: y\n\n", [event("x\ny")]),
    Case("one space goes", b"data:x\n\ndata: x\n\ndata:  x\n\n", [X, X, event(" x")]),
    Case("a tab stays", b"data:\tx\n\n", [event("\tx")]),
    Case("a trailing space stays", b"data: x \n\n", [event("x ")]),
    Case("data without a colon", b"data\n\n", [event("")]),
    Case("data without a value", b"data:\n\ndata: \n\n", [event(""), event("")]),
    Case("two empty data lines", b"data\ndata\n\n", [event("\n")]),
    Case("three empty data lines", b"data:\ndata\ndata: \n\n", [event("\n\n")]),
    Case("colons in the value", b"data: a: b:c\n\ndata::\n\n", [event("a: b:c"), event(":")]),
    Case("NUL in data", b"data: a\0b\n\n", [event("a\0b")]),
    # Fields that are none
    Case("comments", b": a\n:\n:data: n\ndata: x\n: b\n\n", [X]),
    Case("comments alone", b": ping\n\n: ping\n\n", []),
    Case("unknown fields", b"dat: n\nfoo\n{}\ndata: x\nbar: y\n\n", [X]),
    Case("names in capitals", b"Data: n\nDATA: n\ndata: x\n\n", [X]),
    Case("names after a space", b" data: n\n\tdata: n\ndata: x\n\n", [X]),
    Case("names before a space", b"data : n\ndata: x\n\n", [X]),
    Case("an empty name is a comment", b":data: n\n\n", []),
    Case("names with a NUL", b"data\0: n\n\0data: n\ndata: x\n\n", [X]),
    # event
    Case("an event type", b"event: e\ndata: x\n\n", [event("x", "e")]),
    Case("the last event type holds", b"event: e\nevent: f\ndata: x\n\n", [event("x", "f")]),
    Case("an empty event type is message", b"event: e\nevent\ndata: x\n\n", [X]),
    Case("the type is of one block", b"event: e\ndata: x\n\ndata: y\n\n", [event("x", "e"), Y]),
    Case("a type without data is lost", b"event: e\n\ndata: x\n\n", [X]),
    Case("a type may hold anything", b"event: \0 e\ndata: x\n\n", [event("x", "\0 e")]),
    # id
    Case(
        "an id stays in force",
        b"id: 1\ndata: x\n\ndata: y\n\n",
        [event("x", id="1"), event("y", id="1")],
        "1",
    ),
    Case("an id after the data", b"data: x\nid: 1\n\n", [event("x", id="1")], "1"),
    Case("the last id of a block holds", b"id: 1\nid: 2\ndata: x\n\n", [event("x", id="2")], "2"),
    Case(
        "an empty id resets",
        b"id: 1\ndata: x\n\nid\ndata: y\n\n",
        [event("x", id="1"), Y],
    ),
    Case(
        "an empty value resets too",
        b"id: 1\ndata: x\n\nid: \ndata: y\n\n",
        [event("x", id="1"), Y],
    ),
    Case("an id with NUL is no id", b"id: 1\nid: 2\0\ndata: x\n\n", [event("x", id="1")], "1"),
    Case("an id alone holds", b"id: 1\n\ndata: x\n\n", [event("x", id="1")], "1"),
    Case("an id alone at the end holds", b"data: x\n\nid: 1\n\n", [X], "1"),
    Case("ids with spaces", b"id:  1 \ndata: x\n\n", [event("x", id=" 1 ")], " 1 "),
    # retry
    Case("a retry", b"retry: 10\ndata: x\n\n", [event("x", retry=10)], "", 10),
    Case("a retry is of one block", b"retry: 1\ndata: x\n\ndata: y\n\n", [X._replace(retry=1), Y], "", 1),
    Case("a retry alone", b"retry: 10\n\ndata: x\n\n", [X], "", 10),
    Case("a retry holds at once", b"retry: 10\n", [], "", 10),
    Case("leading zeros", b"retry: 007\n\n", [], "", 7),
    Case("a sign is no digit", b"retry: +5\nretry: -5\n\n", []),
    Case("a point is no digit", b"retry: 5.0\n\n", []),
    Case("an exponent is no digit", b"retry: 5e3\n\n", []),
    Case("an underscore is no digit", b"retry: 5_000\n\n", []),
    Case("Arabic-Indic digits are none", "retry: ٣\n\n".encode(), []),
    Case("superscripts are no digits", "retry: ²\n\n".encode(), []),
    Case("spaces are no digits", b"retry:  5\nretry: 5 \n\n", []),
    Case("an empty retry", b"retry\nretry:\nretry: \n\n", []),
    Case("a bad retry leaves the good one", b"retry: 5\nretry: x\n\n", [], "", 5),
    # Bytes that are not UTF-8
    Case("a stray byte", b"data: a\xffb\n\n", [event("a\ufffdb")]),
    Case("a truncated sequence is one", b"data: \xe2\x82\n\n", [event("\ufffd")]),
    Case("a truncated one of four is one", b"data: \xf0\x9f\x98x\n\n", [event("\ufffdx")]),
    Case("an overlong one is two", b"data: \xc0\xaf\n\n", [event("\ufffd" * 2)]),
    Case("an overlong one of three", b"data: \xe0\x80\xaf\n\n", [event("\ufffd" * 3)]),
    Case("a surrogate is three", b"data: \xed\xa0\x80\n\n", [event("\ufffd" * 3)]),
    Case("beyond Unicode is four", b"data: \xf4\x90\x80\x80\n\n", [event("\ufffd" * 4)]),
    Case("a lead byte before a line end", b"data: \xe2\ndata: \x82\xac\n\n", [event("\ufffd\n\ufffd\ufffd")]),
    Case("a name that is not UTF-8", b"dat\xe2a: n\ndata: x\n\n", [X]),
    Case("an event type that is not", b"event: \xff\ndata: x\n\n", [event("x", "\ufffd")]),
    Case("an id that is not", b"id: \xff\ndata: x\n\n", [event("x", id="\ufffd")], "\ufffd"),
    # As fal sends it
    Case(
        "a stream of fal's",
        b': ping - 2024-01-01\r\n\r\ndata: {"type": "submit"}\r\n\r\n: ping\r\n\r\ndata: {}\r\n\r\n',
        [event('{"type": "submit"}'), event("{}")],
    ),
]  # fmt: skip


def decode(body: bytes, cuts: list[int] | None = None) -> tuple[list[Frame], bytes, Decoder]:
    """Feeds a body cut at the given places; frames, rest, and the decoder as it is then."""
    decoder = Decoder()
    edges = [0, *sorted(cuts or []), len(body)]
    frames = [frame for start, end in pairwise(edges) for frame in decoder.feed(body[start:end])]
    return frames, decoder.close(), decoder


def interpreted(body: bytes, cuts: list[int] | None = None) -> Interpreted:
    """The decoder's reading, in the reference's words; raw bytes and rest are checked."""
    frames, rest, decoder = decode(body, cuts)
    assert b"".join(frame.raw for frame in frames) + rest == body
    assert not any(frame.oversize for frame in frames)
    assert {type(frame.raw) for frame in frames} <= {bytes}
    return Interpreted(
        [ReferenceEvent(frame.data, frame.event, frame.id, frame.retry) for frame in frames],
        decoder.last_event_id,
        decoder.reconnection_time_ms,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestTheStandardsCases:
    def test_the_reference_reads_it_so(self, case: Case) -> None:
        assert interpret(case.body) == Interpreted(*case[2:])

    def test_the_decoder_reads_it_so_at_once(self, case: Case) -> None:
        assert interpreted(case.body) == Interpreted(*case[2:])

    def test_the_decoder_reads_it_so_byte_by_byte(self, case: Case) -> None:
        every_byte = list(range(len(case.body) + 1))
        assert interpreted(case.body, every_byte) == Interpreted(*case[2:])

    def test_the_decoder_reads_it_so_cut_in_two_anywhere(self, case: Case) -> None:
        for cut in range(len(case.body) + 1):
            assert interpreted(case.body, [cut]) == Interpreted(*case[2:]), cut


def test_a_retry_of_five_thousand_digits_is_passed_over() -> None:
    digits = b"9" * 5_000
    assert interpreted(b"retry: 5\nretry: " + digits + b"\ndata: x\n\n") == Interpreted(
        [event("x", retry=5)], "", 5
    )


TOKENS = [
    b"data", b"data:", b"data: ", b"event: ", b"id: ", b"id", b"retry: ", b"retry:", b":", b" ",
    b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\r\r", b"1", b"23", b"x", b"\0", BOM,
    b"\xef", b"\xbb", b"\xbf", b"\xe2\x82\xac", b"\xe2\x82", b"\xf0\x9f", b"\xff", b"\xed\xa0\x80",
    b"\xc0\xaf", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\x0c", b": ping\r\n\r\n",
    b"data: {}\r\n\r\n",
]  # fmt: skip
DATA = [
    b"", b"x", b" x", b":", b"data: y", b'{"type": "submit"}', b"\0", BOM, b"\xe2\x82\xac", b"\xe2\x82",
    b"x" * 14, b"x" * 15, b"x" * 16, b"x" * 17,
]  # fmt: skip
plain_blocks = st.builds(
    lambda data, line_end: b"data: " + data + line_end * 2,
    st.sampled_from(DATA),
    st.sampled_from([b"\r\n", b"\n"]),
)
runs_of_plain_blocks = st.lists(plain_blocks, min_size=1, max_size=4).map(b"".join)
tokens = st.sampled_from(TOKENS)
odd_bodies = st.lists(tokens, max_size=30).map(b"".join)
bodies = st.lists(tokens | runs_of_plain_blocks, max_size=20).map(b"".join)


@st.composite
def cut_bodies(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    body = draw(bodies)
    return body, draw(st.lists(st.integers(0, len(body)), max_size=8))


@settings(max_examples=1_000, deadline=None)
@given(cut_bodies())
def test_any_body_in_any_chunks_is_read_as_the_reference_reads_it(
    cut_body: tuple[bytes, list[int]],
) -> None:
    body, cuts = cut_body
    assert interpreted(body, cuts) == interpret(body)


@settings(max_examples=300, deadline=None)
@given(odd_bodies)
def test_an_event_comes_out_with_the_very_byte_that_completes_it(body: bytes) -> None:
    decoder = Decoder()
    frames: list[Frame] = []
    for size in range(1, len(body) + 1):
        frames += decoder.feed(body[size - 1 : size])
        assert len(frames) == len(interpret(body[:size]).events), body[:size]


@settings(max_examples=300, deadline=None)
@given(cut_bodies())
def test_the_raw_bytes_of_a_frame_read_the_same_by_themselves(
    cut_body: tuple[bytes, list[int]],
) -> None:
    frames, _, _ = decode(*cut_body)
    again = [sse.decode_data(frame.raw, strip_bom=place == 0) for place, frame in enumerate(frames)]
    assert again == [frame.data for frame in frames]


def test_a_lone_cr_completes_a_block_and_its_lf_leads_the_next() -> None:
    decoder = Decoder()
    first = decoder.feed(b"data: x\r\n\r")
    second = decoder.feed(b"\ndata: y\r\n\r\n")
    assert (first, second, decoder.close()) == (
        [Frame(raw=b"data: x\r\n\r", data="x")],
        [Frame(raw=b"\ndata: y\r\n\r\n", data="y")],
        b"",
    )


def test_what_dispatches_nothing_leads_the_raw_bytes_of_the_next_frame() -> None:
    body = BOM + b": ping\n\nretry: 5\n\nid: 7\n\ndata: x\n\n: ping\n\ndata: y\n"
    frames, rest, decoder = decode(body)
    assert (frames, rest) == (
        [Frame(raw=body[:-16], data="x", id="7")],
        b": ping\n\ndata: y\n",
    )
    assert decoder.reconnection_time_ms == 5


def test_bytes_that_dispatch_nothing_have_no_data() -> None:
    assert sse.decode_data(b": ping\n\n") is None
    assert sse.decode_data(b"data: x\n") is None
    assert sse.decode_data(b"") is None


def test_a_byte_order_mark_in_the_middle_of_a_stream_is_kept_when_told_so() -> None:
    raw = BOM + b"data: x\n\n"
    assert sse.decode_data(raw) is None
    assert sse.decode_data(raw, strip_bom=True) == "x"


def test_empty_chunks_change_nothing() -> None:
    decoder = Decoder()
    assert [decoder.feed(b"") for _ in range(3)] == [[], [], []]
    assert decoder.feed(b"data: x\r\n\r") == [Frame(raw=b"data: x\r\n\r", data="x")]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: y\n\n") == [Frame(raw=b"\ndata: y\n\n", data="y")]


def test_closing_gives_back_what_never_became_a_frame_and_forgets_it() -> None:
    decoder = Decoder()
    decoder.feed(b"event: e\ndata: x\nid: 1\n")
    assert decoder.close() == b"event: e\ndata: x\nid: 1\n"
    assert decoder.close() == b""
    assert decoder.last_event_id == ""


def test_a_line_of_twenty_megabytes_in_small_chunks_is_read_to_its_end() -> None:
    chunk = b"x" * 65_536
    decoder = Decoder()
    decoder.feed(b"data: ")
    for _ in range(320):
        assert decoder.feed(chunk) == []
    (frame,) = decoder.feed(b"\n\n")
    assert (len(frame.data), len(frame.raw)) == (320 * 65_536, 320 * 65_536 + 8)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_a_hundred_thousand_small_events_in_one_chunk_are_read(line_end: bytes) -> None:
    block = b"data: x" + line_end * 2
    frames = Decoder().feed(block * 100_000)
    assert (len(frames), set(frames)) == (100_000, {Frame(raw=block, data="x")})
