"""Events of the log, read by what their frames say, or by their columns once erased."""

from __future__ import annotations

import msgspec

from recorder.events import (
    Closed,
    Completion,
    Error,
    Event,
    LoggedEvent,
    Opened,
    Output,
    Submit,
    Unrecognised,
    encode_document,
)
from tests import builders

OPENED = builders.opened("run-1", input="{}", request_headers={"accept": "*/*"})
CLOSED = Closed(reason="cut", detail="ReadError", trailing="data: {")
WHATS: list[bytes | Event] = [
    OPENED,
    builders.submit("a", step="s1"),
    builders.frame('{"type":"completion","node_id":"a","output":NaN}'),
    builders.output(1),
    builders.error("a", message="m", body="b"),
    builders.frame("[DONE]"),
    builders.frame('{"type":"submit","node_id":"\ud800"}'),
    b"data: a piece of a block",
    CLOSED,
]
LOGGED = builders.logged(builders.new_event("run-1", seq, what) for seq, what in enumerate(WHATS))


def test_an_event_of_the_log_says_what_its_frame_says() -> None:
    assert [logged.event for logged in LOGGED] == [
        OPENED,
        Submit("a", "fal-ai/app", "s1"),
        Completion("a", output=b"NaN", anomaly="lenient_json"),
        Output(output=b"1"),
        Error("a", message="m", error=b'{"status": 500, "body": "b"}'),
        Unrecognised("done_marker"),
        Submit("\ufffd" * 3),
        Unrecognised("oversize"),
        CLOSED,
    ]


def test_the_payload_of_an_event_is_its_json_text() -> None:
    assert [logged.payload for logged in LOGGED] == [
        encode_document(OPENED),
        b'{"type": "submit", "node_id": "a", "app_id": "fal-ai/app", "request_id": "s1"}',
        b'{"type":"completion","node_id":"a","output":NaN}',
        b'{"type": "output", "output": 1}',
        b'{"type": "error", "node_id": "a", "message": "m", "error": {"status": 500, "body": "b"}}',
        b"[DONE]",
        '{"type":"submit","node_id":"\ufffd\ufffd\ufffd"}'.encode(),
        None,
        encode_document(CLOSED),
    ]


def _erased(logged: LoggedEvent) -> LoggedEvent:
    return msgspec.structs.replace(logged, frame=None, salt=None)


def test_an_erased_event_says_what_its_columns_say() -> None:
    expected: list[Event] = [
        Opened(workflow="", source="iterator"),
        Submit("a", "fal-ai/app", "s1"),
        Completion("a"),
        Output(),
        Error("a"),
        Unrecognised("erased"),
        Submit(LOGGED[6].node_id),
        Unrecognised("erased"),
        Closed(reason="eof"),
    ]
    assert [_erased(logged).event for logged in LOGGED] == expected
    assert [_erased(logged).payload for logged in LOGGED] == [None] * len(LOGGED)


def test_the_first_frame_of_a_run_may_begin_with_a_byte_order_mark_and_no_other() -> None:
    raw = b"\xef\xbb\xbf" + builders.output()
    first, second = builders.logged(
        [
            builders.new_event("run-1", 1, raw),
            builders.new_event("run-1", 2, raw),
        ]
    )
    assert (first.event, first.payload) == (
        Output(output=b'"done"'),
        b'{"type": "output", "output": "done"}',
    )
    assert (second.event, second.payload) == (Unrecognised("oversize"), None)


def test_the_documents_of_ours_read_back_as_they_were() -> None:
    documents: list[Event] = [
        Opened(workflow="w", source="iterator"),
        Opened(
            workflow="workflows/\u00e9/\U0001f600\0",
            source="transcript",
            recorder="r",
            recording="x",
            upstream_request_id="u",
            url="http://h/",
            input='{"a":"\u2028"}',
            input_base64="/w==",
            request_headers={"a": "b"},
            status=200,
            response_headers={"x-fal-request-id": "u"},
            timed=False,
        ),
        Closed(reason="eof"),
        Closed(reason="cut", detail="d", trailing_base64="/w=="),
    ]
    logged = builders.logged(builders.new_event("run-1", 0, each) for each in documents)
    assert [each.event for each in logged] == documents
