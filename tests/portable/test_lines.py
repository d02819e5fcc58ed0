"""An event as a line of a file."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.events import LoggedEvent
from recorder.portable.form import Entry, decode_entry, encode_entry
from tests.builders import (
    logged,
    new_event,
    opened,
    submit,
)

IDS = st.none() | st.text(st.characters(codec="utf-8"))


@given(
    event=st.builds(
        LoggedEvent,
        position=st.just(1),
        request_id=st.just("run"),
        seq=st.just(0),
        type=st.just("submit"),
        node_id=IDS,
        app_id=IDS,
        step_request_id=IDS,
        received_at=st.integers(-(2**63), 2**63 - 1),
        elapsed_us=st.integers(-(2**63), 2**63 - 1),
        frame=st.none() | st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode),
        salt=st.none() | st.binary(),
        frame_digest=st.just(bytes(32)),
        chain=st.just(bytes(32)),
    ),
    previous=st.none() | st.binary(min_size=32, max_size=32),
)
def test_a_line_brings_every_event_back(event: LoggedEvent, previous: bytes | None) -> None:
    line = encode_entry(Entry(event, previous))
    assert line.count(b"\n") == 1
    assert decode_entry("run", line) == Entry(event, previous)


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (submit("a"), "frame"),
        ("é\r\n".encode(), "frame"),
        (b"\xff", "frame_base64"),
        (bytes(10_000), "frame_base64"),
    ],
    ids=["as fal sends it", "beyond ASCII", "no UTF-8", "all escapes"],
)
def test_a_frame_is_text_where_people_can_read_it(frame: bytes, field: str) -> None:
    [event] = logged([new_event("a", 0, opened("a"))])
    line = encode_entry(Entry(msgspec.structs.replace(event, frame=frame), None))
    assert {"frame", "frame_base64"} & json.loads(line).keys() == {field}
