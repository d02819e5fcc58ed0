"""Encoding blocks: what is written is what the decoder reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import sse
from tests.core.reference_sse import Interpreted, ReferenceEvent
from tests.core.test_sse_decoder import event, interpreted

any_text = st.text()
one_line = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))
newlines = st.sampled_from(["\n", "\r", "\r\n"])


@settings(max_examples=300, deadline=None)
@given(any_text, st.none() | one_line, st.none() | one_line, st.none() | st.integers(0), newlines)
def test_what_is_encoded_is_decoded_again(
    data: str, event_type: str | None, id: str | None, retry: int | None, newline: str
) -> None:
    body = sse.encode(data, event=event_type, id=id, retry=retry, newline=newline)
    assert interpreted(sse.comment("ping", newline) + body) == Interpreted(
        [
            ReferenceEvent(
                data.replace("\r\n", "\n").replace("\r", "\n"),
                event_type or "message",
                id or "",
                retry,
            )
        ],
        id or "",
        retry,
    )


def test_a_block_is_encoded_field_by_field() -> None:
    assert (
        sse.encode("a\nb\r\nc\rd", event="e", id="1", retry=5, newline="\r\n")
        == b"event: e\r\nid: 1\r\nretry: 5\r\ndata: a\r\ndata: b\r\ndata: c\r\ndata: d\r\n\r\n"
    )


def test_text_without_a_utf_8_form_is_encoded_without_an_error() -> None:
    assert interpreted(sse.encode("a\ud800b")).events == [event("a" + "\ufffd" * 3 + "b")]
    assert interpreted(sse.comment("\ud800")).events == []


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n"])
def test_a_line_break_in_an_id_a_type_or_a_comment_is_refused(break_: str) -> None:
    text = f"a{break_}b"
    with pytest.raises(ValueError, match=r"^an SSE id cannot hold a line break$"):
        sse.encode("x", id=text)
    with pytest.raises(ValueError, match=r"^an SSE event cannot hold a line break$"):
        sse.encode("x", event=text)
    with pytest.raises(ValueError, match=r"^an SSE comment cannot hold a line break$"):
        sse.comment(text)


def test_a_nul_in_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^an SSE id cannot hold a NUL$"):
        sse.encode("x", id="a\0b")
