"""Events as lines of NDJSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder import lines, redaction
from recorder.errors import BadQuery
from recorder.events import Answer, Exchange, NewEvent
from recorder.lines import MAX_ELAPSED_US, MAX_LINES, MAX_SEQ
from tests.builders import completion, error, history, opened, output, submit

RUNS = [
    history("run-1", submit("a", step="s"), completion("a"), error("b"), output()),
    history("run-2", (Answer(), b"\xff\0"), Exchange(what="cancel")),
]
RECEIVED = "2025-01-31T12:00:00.120417Z"
RECEIVED_US = 1_738_324_800_120_417


def line(**fields: Any) -> bytes:
    """A line as somebody might write it."""
    known: dict[str, Any] = {
        "seq": 1,
        "type": "submit",
        "received_at": RECEIVED,
        "elapsed_us": 7,
        "frame": submit("a").decode(),
    }
    kept = {name: value for name, value in (known | fields).items() if value is not ...}
    return json.dumps(kept).encode()


def refusal(body: bytes, request_id: str | None = "run-1") -> tuple[str, str]:
    """The field and the reason of a body that makes no sense."""
    with pytest.raises(BadQuery) as refused:
        lines.decode(body, request_id)
    return refused.value.field, refused.value.reason


@pytest.mark.parametrize("run", RUNS)
def test_events_read_back_as_they_were_written(run: list[NewEvent]) -> None:
    assert lines.decode(b"".join(map(lines.encode, run))) == run


@given(frame=st.binary(), received_at=st.integers(-62_000_000_000_000_000, 10**17))
def test_any_bytes_at_any_moment_read_back(frame: bytes, received_at: int) -> None:
    [event] = lines.decode(lines.encode(NewEvent("r", 1, "answer", frame, received_at, 0)))
    assert event == NewEvent("r", 1, "answer", frame, received_at, 0)


def test_a_clock_beyond_the_calendar_is_told_at_its_end() -> None:
    [event] = lines.decode(lines.encode(NewEvent("r", 1, "answer", b"", 10**18, 0)))
    assert event.received_at == 253_402_300_799_999_999


def test_a_line_of_text_is_an_event_of_the_run_asked_for() -> None:
    [event] = lines.decode(line(), "run-1")
    assert event == NewEvent("run-1", 1, "submit", submit("a"), RECEIVED_US, 7, "a", "fal-ai/app")


def test_type_and_ids_are_those_of_the_frame_whatever_a_sender_claims() -> None:
    [event] = lines.decode(line(type="error", frame=completion("b").decode()), "run-1")
    assert (event.type, event.node_id) == ("completion", "b")
    [event] = lines.decode(line(type="submit", frame="no block"), "run-1")
    assert (event.type, event.node_id) == ("unrecognised", None)


def test_an_id_no_column_can_hold_is_lifted_as_its_digest() -> None:
    [event] = lines.decode(line(frame=submit("\0").decode()), "a\0b")
    assert event.request_id.startswith("sha256:")
    assert event.node_id is not None
    assert event.node_id.startswith("sha256:")


def test_empty_lines_are_passed_over_and_any_line_end_will_do() -> None:
    body = b"\r\n" + line() + b"\r\n \n\n" + line(seq=2) + b"\r"
    assert [event.seq for event in lines.decode(body, "run-1")] == [1, 2]


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"", "body", "holds no event"),
        (b"\n \n", "body", "holds no event"),
        (b"[]", "line 1", "Expected 'object', got 'array'"),
        (b'{"seq": 1', "line 1", "Input data was truncated"),
        (line() + b"\n\n" + line(seq=-1), "line 3, seq", "Expected 'int' >= 0"),
        (line(frame="\xff").replace(b"\\u00ff", b"\xff"), "line 1", "is not UTF-8"),
        (line(seq=...), "line 1, seq", "Object missing required field 'seq'"),
        (line(seq=1.5), "line 1, seq", "Expected 'int', got 'float'"),
        (line(seq=MAX_SEQ + 1), "line 1, seq", f"Expected 'int' <= {MAX_SEQ}"),
        (line(elapsed_us=-1), "line 1, elapsed_us", "Expected 'int' >= 0"),
        (
            line(elapsed_us=MAX_ELAPSED_US + 1),
            "line 1, elapsed_us",
            f"Expected 'int' <= {MAX_ELAPSED_US}",
        ),
        (line(type="submitted"), "line 1, type", "Invalid enum value 'submitted'"),
        (line(received_at=RECEIVED_US), "line 1, received_at", "Expected 'datetime', got 'int'"),
        (
            line(received_at="2025-01-31T12:00:00"),
            "line 1, received_at",
            "Expected 'datetime' with a timezone component",
        ),
        (line(node_id="a"), "line 1, node_id", "Object contains unknown field 'node_id'"),
        (line(request_id="r"), "line 1, request_id", "Object contains unknown field 'request_id'"),
        (line(frame=...), "line 1, frame", "give either frame or frame_base64"),
        (line(frame_base64=""), "line 1, frame", "give either frame or frame_base64"),
        (
            line(frame=..., frame_base64="no"),
            "line 1, frame_base64",
            "Invalid base64 encoded string",
        ),
        (line(seq=0), "line 1, type", "a run begins with `opened`, seq 0, and only there"),
        (line(type="opened"), "line 1, type", "a run begins with `opened`, seq 0, and only there"),
    ],
)
def test_what_makes_no_sense_is_named_by_line_and_field(
    body: bytes, field: str, reason: str
) -> None:
    assert refusal(body) == (field, reason)


def test_a_line_without_a_run_is_refused() -> None:
    assert refusal(line(), None)[0] == "line 1, request_id"
    assert refusal(line(request_id=""), None) == (
        "line 1, request_id",
        "Expected 'str' of length >= 1",
    )


@pytest.mark.parametrize("kind", ["exchange", "gap", "closed"])
@pytest.mark.parametrize("frame", ["", "{}", "[]", '{"reason": "boredom"}', '{"what": "\ud800"}'])
def test_a_document_nobody_could_read_is_refused(kind: str, frame: str) -> None:
    field, reason = refusal(line(type=kind, frame=..., frame_base64=_base64(frame)))
    assert field == "line 1, frame"
    assert reason.startswith(f"is no document of type {kind}: ")


@pytest.mark.parametrize(
    "document",
    [
        {"lost_events": -1, "lost_bytes": 1, "reason": "full"},
        {"lost_events": 2**40, "lost_bytes": 1, "reason": "full"},
        {"lost_events": 1, "lost_bytes": 2**63, "reason": "full"},
        {"what": "result", "status": 1_000},
        {"reason": "client_gone", "left_us": 2**63},
    ],
)
def test_a_number_no_column_can_hold_is_refused(document: dict[str, Any]) -> None:
    kind = "gap" if "lost_events" in document else "exchange" if "what" in document else "closed"
    _, reason = refusal(line(type=kind, frame=json.dumps(document)))
    assert reason.startswith(f"is no document of type {kind}: Expected 'int' ")


def _base64(text: str) -> str:
    encoded: str = json.loads(lines.encode(NewEvent("r", 1, "answer", _raw(text), 0, 0)))[
        "frame_base64"
    ]
    return encoded


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


SECRETS: list[dict[str, Any]] = [
    {"request_headers": {"authorization": "Key id:secret"}},
    {"response_headers": {"set-cookie": "a=b"}},
    {"request_headers": {"cookie": "a=b"}, "response_headers": {"cookie": "[redacted]"}},
    {"url": "https://fal.run/workflows/o/n?fal_jwt_token=secret"},
    {"url": "https://me:secret@fal.run/"},
    {"response_headers": {"x-fal-next": "https://fal.run/?token=secret"}},
    {"response_headers": {"x-fal-next": "HTTPS://me:secret@fal.run/"}},
    {"url": "https://fal.run/?fal_webhook=https%3A%2F%2Fh%2F%3Ftoken%3Dsecret"},
]


@pytest.mark.parametrize("fields", SECRETS)
def test_a_document_that_shows_a_credential_is_refused(fields: dict[str, Any]) -> None:
    [event, *_] = history("r", document=opened("r", **fields))
    field, reason = refusal(lines.encode(event), None)
    assert (field, reason) == (
        "line 1, frame",
        "shows a credential; write [redacted] in its place",
    )


NESTED = "https://fal.run/?fal_webhook=" + quote("https://a:b@h/?token=c", safe="")
_text = st.text() | st.sampled_from(
    ["https://a:b@c/?key=d", "http://[", "@", "?token=[redacted]x", NESTED]
)
_names = st.text() | st.sampled_from(["authorization", "Cookie", "x-fal-url", "server"])


@given(address=_text, pairs=st.lists(st.tuples(_names, _text)))
def test_what_has_been_redacted_shows_no_credential(
    address: str, pairs: list[tuple[str, str]]
) -> None:
    assert not redaction.shows_credentials(redaction.url(address), redaction.headers(pairs))


def test_a_body_has_a_limited_number_of_lines() -> None:
    body = b"\n".join([line()] * (MAX_LINES + 1))
    assert refusal(body) == ("body", f"holds more than {MAX_LINES} events")
