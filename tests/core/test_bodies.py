"""What the bytes of an answer become; of streams, test_recording and test_sse_decoder tell more."""

from __future__ import annotations

import pytest

from recorder import bodies
from recorder.bodies import body_of
from recorder.events import Answer, Opened
from tests.builders import opened, submit


def of(document: Opened, *chunks: bytes, whole: bool = True) -> tuple[list[bytes], bytes]:
    """The bytes of each event, all of them answers, and what is left."""
    body = body_of(document)
    parts = [part for chunk in chunks for part in body.feed(chunk)]
    rest, trailing = body.close(whole=whole)
    assert {event for event, _ in [*parts, *rest]} <= {Answer()}
    return [raw for _, raw in [*parts, *rest]], trailing


CALL = opened("run-1", mode="call", response_headers={"content-type": "application/json"})


def test_a_plain_answer_is_one_event_however_it_came() -> None:
    assert of(CALL, b'{"images"', b": []}") == ([b'{"images": []}'], b"")


def test_an_answer_that_was_cut_is_no_event_but_trailing_bytes() -> None:
    assert of(CALL, b'{"ima', whole=False) == ([], b'{"ima')


def test_the_body_of_a_refusal_is_trailing_bytes_though_it_looks_like_a_stream() -> None:
    refused = opened("run-1", mode="call", status=422)
    assert of(refused, b"data: x\n\n") == ([], b"data: x\n\n")


def test_an_empty_answer_is_no_event() -> None:
    assert of(CALL) == ([], b"")


def test_a_long_answer_becomes_several_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_ANSWER_BYTES", 4)
    assert of(CALL, b"12345", b"678", b"9") == ([b"12345", b"6789"], b"")


def test_the_stream_of_a_single_app_is_an_answer_in_pieces() -> None:
    streamed = opened("run-1", mode="call")
    assert of(streamed, submit("a"), b"data: 1\r\n\r\nda") == (
        [submit("a"), b"data: 1\r\n\r\n"],
        b"da",
    )
