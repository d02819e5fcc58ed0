"""Reading payloads: total, exact about what it could not read, and sparing with what it lifts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.events import (
    Completion,
    Error,
    Output,
    Submit,
    Unrecognised,
    WireEvent,
    parse,
    type_of,
)
from recorder.projections.outputs import read_output

BOTTOMLESS = 200_000
LONG_ID = "n" * 10_240

DOCUMENTED = [
    (
        '{"type":"submit","node_id":"stable_diffusion_xl","app_id":"fal-ai/fast-sdxl",'
        '"request_id":"d778bdf4-0275-47c2-9f23-16c27041cbeb"}',
        Submit("stable_diffusion_xl", "fal-ai/fast-sdxl", "d778bdf4-0275-47c2-9f23-16c27041cbeb"),
    ),
    (
        '{"type":"completion","node_id":"rembg","output":{"images":[],"seed":18446744073709551617}}',
        Completion("rembg", output=b'{"images":[],"seed":18446744073709551617}'),
    ),
    ('{"type":"output","output":{"images":[]}}', Output(output=b'{"images":[]}')),
    (
        '{"type":"error","node_id":"a","message":"it broke","error":{"status":422,"body":"x"}}',
        Error("a", message="it broke", error=b'{"status":422,"body":"x"}'),
    ),
    ('{"type":"error"}', Error()),
    ('{"type":"output"}', Output()),
    (' {"type" : "submit"}\n', Submit()),
    ('{"type":"submit","position":3,"nested":{"type":"output"}}', Submit()),
]

UNREADABLE = [
    ("", "invalid_json"),
    ("\ufeff{}", "invalid_json"),
    ('{"type":"completion","node_id":"a","output":{"images":[', "invalid_json"),
    ('{"type":"submit"} x', "invalid_json"),
    ('{"type":"submit"}{"type":"submit"}', "invalid_json"),
    ("{'type':'submit'}", "invalid_json"),
    ('{"type":"submit","node_id":"a\tb"}', "invalid_json"),
    ('{"type":"submit","node_id":"a\x00b"}', "invalid_json"),
    ("[" * BOTTOMLESS + "]" * BOTTOMLESS, "invalid_json"),
    ('{"type":' * BOTTOMLESS, "invalid_json"),
    ('{"type":"completion","output":' + "[" * BOTTOMLESS + "]" * BOTTOMLESS + "}", "invalid_json"),
    ("[DONE]", "done_marker"),
    (" [DONE]\n", "done_marker"),
    ("[]", "not_an_object"),
    ('[{"type":"submit"}]', "not_an_object"),
    ("null", "not_an_object"),
    ("NaN", "not_an_object"),
    ("-Infinity", "not_an_object"),
    ("1e400", "not_an_object"),
    ('"submit"', "not_an_object"),
    ("true", "not_an_object"),
    ("{}", "no_type"),
    ('{"__proto__":{"type":"submit"}}', "no_type"),
    ('{"Type":"submit"}', "no_type"),
    ('{"type":null}', "no_type"),
    ('{"type":1}', "no_type"),
    ('{"type":["submit"]}', "no_type"),
    ('{"type":{"type":"submit"}}', "no_type"),
    ('{"type":""}', "unknown_type"),
    ('{"type":"Submit"}', "unknown_type"),
    ('{"type":"submit "}', "unknown_type"),
    ('{"type":"progress","node_id":"a"}', "unknown_type"),
    ('{"type":"opened"}', "unknown_type"),
    ('{"type":"submit","type":"progress"}', "unknown_type"),
    ('{"type":"submit","type":null}', "no_type"),
    ('{"type":"unrecognised","x":NaN}', "unknown_type"),
]

ODD = [
    # Strict JSON with fields of the documented types: odd, yet nothing to remark.
    ('{"type":"submit","node_id":null,"app_id":null}', Submit()),
    ('{"type":"submit","node_id":""}', Submit("")),
    ('{"type":"submit","node_id":"a/b-c_2/\u00e9"}', Submit("a/b-c_2/\u00e9")),
    ('{"type":"submit","node_id":"\U0001f600"}', Submit("\U0001f600")),
    ('{"type":"submit","node_id":"\\ud83d\\ude00"}', Submit("\U0001f600")),
    ('{"type":"submit","node_id":"a\\nb"}', Submit("a\nb")),
    ('{"type":"submit","node_id":"a\\u0000b"}', Submit("a\0b")),
    (f'{{"type":"submit","node_id":"{LONG_ID}"}}', Submit(LONG_ID)),
    ('{"type":"submit","__proto__":{"node_id":"p"},"constructor":1}', Submit()),
    ('{"type":"completion","output":null}', Completion(output=b"null")),
    ('{"type":"completion","output":"{}"}', Completion(output=b'"{}"')),
    ('{"type":"completion","output":1e400}', Completion(output=b"1e400")),
    ('{"type":"output","output":' + "9" * 5_000 + "}", Output(output=b"9" * 5_000)),
    ('{"type":"output","output": [ 1 ] }', Output(output=b"[ 1 ]")),
    ('{"type":"error","error":"boom"}', Error(error=b'"boom"')),
    ('{"type":"error","error":null,"message":null}', Error(error=b"null")),
    # Of a key that stands twice the last one holds.
    (
        '{"type":"output","type":"submit","node_id":"a","node_id":"b"}',
        Submit("b", anomaly="duplicate_keys"),
    ),
    ('{"type":"submit","\\u0074ype":"error"}', Error(anomaly="duplicate_keys")),
    (
        '{"type":"completion","output":{"a":1},"output":{"b":2}}',
        Completion(output=b'{"b":2}', anomaly="duplicate_keys"),
    ),
    (
        '{"type":"error","message":"a: b","message":"c","error":null}',
        Error(message="c", error=b"null", anomaly="duplicate_keys"),
    ),
    ('{"type":"submit","x":1,"x":2}', Submit(anomaly="duplicate_keys")),
    ('{"type":"submit","node_id":1,"node_id":2}', Submit("2", anomaly="duplicate_keys")),
    (
        '{"type":"output","output":NaN,"output":NaN}',
        Output(output=b"NaN", anomaly="duplicate_keys"),
    ),
    (
        '{"type":"completion","output":{"type":1,"type":2},"node_id":"a:b"}',
        Completion("a:b", output=b'{"type":1,"type":2}'),
    ),
    # Read as Python reads it.
    (
        '{"type":"completion","node_id":"a","output":{"x":NaN,"y":-Infinity}}',
        Completion("a", output=b'{"x": NaN, "y": -Infinity}', anomaly="lenient_json"),
    ),
    ('{"type":"output","output":Infinity}', Output(output=b"Infinity", anomaly="lenient_json")),
    ('{"type":"submit","x":NaN}', Submit(anomaly="lenient_json")),
    ('{"type":"submit","node_id":"\\ud800"}', Submit("\ud800", anomaly="lenient_json")),
    ('{"type":"submit","node_id":"\ud800"}', Submit("\ud800", anomaly="lenient_json")),
    (
        '{"type":"error","error":"\\udc00","x":NaN}',
        Error(error=b'"\\udc00"', anomaly="lenient_json"),
    ),
    # Ids and messages that are not text are told by their JSON.
    ('{"type":"submit","node_id":7}', Submit("7", anomaly="not_text")),
    ('{"type":"submit","node_id":1.50}', Submit("1.5", anomaly="not_text")),
    ('{"type":"submit","node_id":true}', Submit("true", anomaly="not_text")),
    (
        '{"type":"submit","node_id":' + "9" * 5_000 + "}",
        Submit("Infinity", anomaly="not_text"),
    ),
    (
        '{"type":"output","output":[NaN,' + "9" * 5_000 + "]}",
        Output(output=b"[NaN, Infinity]", anomaly="lenient_json"),
    ),
    ('{"type":"submit","app_id":["a", {}]}', Submit(None, '["a", {}]', anomaly="not_text")),
    ('{"type":"submit","request_id":{"a":1}}', Submit(None, None, '{"a": 1}', anomaly="not_text")),
    ('{"type":"error","message":5}', Error(message="5", anomaly="not_text")),
    (
        '{"type":"error","message":["a"],"error":{"status":500}}',
        Error(message='["a"]', error=b'{"status": 500}', anomaly="not_text"),
    ),
]


def shortened(value: object) -> str | None:
    return repr(value)[:60] if isinstance(value, str | bytes) else None


@pytest.mark.parametrize(("data", "event"), DOCUMENTED + ODD, ids=shortened)
def test_a_payload_reads_as(data: str, event: WireEvent) -> None:
    assert parse(data) == event


@pytest.mark.parametrize(("data", "anomaly"), UNREADABLE, ids=shortened)
def test_a_payload_that_is_no_event_is_unrecognised(data: str, anomaly: str) -> None:
    assert parse(data) == Unrecognised(anomaly)


@pytest.mark.parametrize("field", ["node_id", "output", "error"])
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_no_depth_of_nesting_is_an_error(field: str, open_: str, close: str) -> None:
    types = {"node_id": "submit", "output": "completion", "error": "error"}
    for depth in range(800, 1_010):
        nested = open_ * depth + "1" + close * depth
        event = parse(f'{{"type":"{types[field]}","x":NaN,"{field}":{nested}}}')
        assert type_of(event) in (types[field], "unrecognised")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
types = st.sampled_from(["submit", "completion", "output", "error", "progress"])
objects = st.fixed_dictionaries(
    {},
    optional={
        "type": types | types | types | json_values,
        "node_id": st.text() | json_values,
        "app_id": st.text() | json_values,
        "request_id": st.text() | json_values,
        "message": st.text() | json_values,
        "output": st.fixed_dictionaries({"timings": json_values}) | json_values,
        "error": json_values,
    },
)
ANOMALIES = {
    "done_marker", "invalid_json", "not_an_object", "no_type", "unknown_type",
    "lenient_json", "not_text", "duplicate_keys", None,
}  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(objects | json_values, st.booleans())
def test_json_of_any_shape_is_read_without_an_error(value: Any, ascii_only: bool) -> None:
    event = parse(json.dumps(value, ensure_ascii=ascii_only))
    assert event.anomaly in ANOMALIES
    if isinstance(event, Completion):
        told = read_output(event.output)
        assert told.inference_us is None or (told.inference_us >= 0 and told.anomaly is None)


pieces = st.sampled_from(
    ['{"type":', '"submit"', '"node_id":', ",", "}", "{", "[", "]", "NaN", "1e400", '"', "\\u", "\\ud8"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.text() | st.lists(pieces | st.text(max_size=3), max_size=12).map("".join))
def test_any_text_is_read_without_an_error(data: str) -> None:
    assert parse(data).anomaly in ANOMALIES


INFERENCES: list[tuple[bytes | None, int | None, str | None]] = [
    (None, None, None),
    (b'{"timings":{"inference":2.1733}}', 2_173_300, None),
    (b'{"timings":{"inference":3}}', 3_000_000, None),
    (b'{"timings":{"inference":0}}', 0, None),
    (b'{"timings":{"inference":-0.0}}', 0, None),
    (b'{"timings":{"inference":1e-320}}', 0, None),
    (b'{"timings":{"inference":0.0000005}}', 0, None),
    (b'{"timings":{"inference":0.0000015}}', 2, None),
    (b'{"timings":{"inference":2592000}}', 2_592_000_000_000, None),
    (b'{"seed":NaN,"timings":{"inference":0.5}}', 500_000, None),
    (b'{"timings":{"inference":1},"timings":{"inference":2}}', 2_000_000, None),
    (b'{"timings":{"inference":null}}', None, None),
    (b'{"timings":{"Inference":1}}', None, None),
    (b'{"timings":{}}', None, None),
    (b'{"timings":null}', None, None),
    (b'{"timings":5}', None, None),
    (b'{"timings":[{"inference":1}]}', None, None),
    (b'{"output":{"timings":{"inference":1}}}', None, None),
    (b"null", None, None),
    (b'"timings"', None, None),
    (b'["timings"]', None, None),
    (b"5", None, None),
    (b'{"timings":{"inference":2592000.1}}', None, "bad_inference"),
    (b'{"timings":{"inference":-0.1}}', None, "bad_inference"),
    (b'{"timings":{"inference":"2.1"}}', None, "bad_inference"),
    (b'{"timings":{"inference":true}}', None, "bad_inference"),
    (b'{"timings":{"inference":[1]}}', None, "bad_inference"),
    (b'{"timings":{"inference":NaN}}', None, "bad_inference"),
    (b'{"timings":{"inference":Infinity}}', None, "bad_inference"),
    (b'{"timings":{"inference":1e400}}', None, "bad_inference"),
    (b'{"timings":{"inference":' + b"9" * 400 + b"}}", None, "bad_inference"),
    (b'{"timings":{"inference":' + b"9" * 5_000 + b"}}", None, "bad_inference"),
]


@pytest.mark.parametrize(("output", "inference_us", "anomaly"), INFERENCES, ids=shortened)
def test_an_inference_reads_as(
    output: bytes | None, inference_us: int | None, anomaly: str | None
) -> None:
    told = read_output(output)
    assert (told.inference_us, told.anomaly) == (inference_us, anomaly)
