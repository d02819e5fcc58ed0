"""Keys that stand twice: found wherever Python's own reading of the object finds them."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.events import Unrecognised, parse
from recorder.json_keys import repeat_in

ONCE = [
    "{}",
    '{"type": "submit", "node_id": "a"}',
    '{"a": 1, "A": 2, "a ": 3, "": 4}',
    '{"a": {"b": 1, "b": 2}}',
    '{"a": [{"b": 1, "b": 2}, {"a": 1}], "b": {"a": 1}}',
    '{"a": "\\"b\\": {\\"", "b": "[{", "c": "a"}',
    '{"a": "a", "b": ["a", "a"]}',
    '{"\\u0061b": 1, "\\\\u0061b": 2}',
]
TWICE = [
    '{"type":"submit","type":"error"}',
    '{"type": "submit", "x": [{"a": 1}], "type": "submit"}',
    '{"a": {"b": 1}, "a": NaN}',
    '{"a":1 \t\r\n,\n"a"\t: 2}',
    '{"a": "{\\\\", "a": 1}',
    '{"": 1, "": 2}',
    '{"type": 1, "\\u0074ype": 2}',
    '{"node_id": 1, "node\\u005Fid": 2}',
    '{"\\ud83d\\ude00": 1, "\U0001f600": 2}',
    '{"\\ud800": 1, "\\ud800": 2}',
    '{"a:b": 1, "c": 2, "a:b": 3}',
]
BOTTOMLESS = 200_000


@pytest.mark.parametrize("text", ONCE)
def test_no_key_of_the_object_stands_twice(text: str) -> None:
    assert not repeat_in(text)


@pytest.mark.parametrize("text", TWICE)
def test_a_key_of_the_object_stands_twice(text: str) -> None:
    assert repeat_in(text)


def test_depth_is_no_obstacle() -> None:
    deep = "[" * BOTTOMLESS + "]" * BOTTOMLESS
    assert repeat_in(f'{{"a":{deep},"a":1}}')
    assert not repeat_in(f'{{"a":{deep},"b":1}}')


def test_a_string_cut_by_the_end_of_the_text_is_no_key_and_is_looked_at_once() -> None:
    quotes = '\\"' * 200_000
    assert not repeat_in(f'{{"a": 1, "b": "{quotes}')
    assert repeat_in(f'{{"a": 1, "a": "{quotes}')


names = st.sampled_from(
    ["type", "node_id", "app_id", "request_id", "message", "output", "error", "x", "", "a:b", '":{', "\\"]
)  # fmt: skip
keys = names.map(json.dumps) | names.map(
    lambda name: '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"'
)
scalars = st.sampled_from(
    ["1", "null", '""', '"submit"', '"a: b"', '"\\"type\\": {"', '"}"', '"{}"', '"\\\\"', "NaN", '"\\ud800"']
)  # fmt: skip
types = st.sampled_from(["submit", "completion", "output", "error"])


def written(fields: list[tuple[str, str]], colon: str, comma: str, end: str) -> str:
    return "{" + comma.join(f"{key}{colon}{value}" for key, value in fields) + end


def objects(fields: st.SearchStrategy[list[tuple[str, str]]]) -> st.SearchStrategy[str]:
    """Objects with these fields in their order, spaced in a way that JSON allows."""
    colons = st.sampled_from([":", ": ", " :\n"])
    commas = st.sampled_from([",", ", "])
    ends = st.sampled_from(["}", "}", " }", "}\n"])
    return st.builds(written, fields, colons, commas, ends)


values = st.recursive(
    scalars,
    lambda inner: (
        objects(st.lists(st.tuples(keys, inner), max_size=3))
        | st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
    ),
    max_leaves=5,
)
type_fields = st.tuples(st.just('"type"'), types.map(json.dumps))
fields = st.lists(st.tuples(keys, values) | type_fields, max_size=5)
events = objects(
    st.builds(lambda kind, rest: [kind, *rest], type_fields, fields)
    | st.builds(lambda rest, kind: [*rest, kind], fields, type_fields)
)


def stands_twice(text: str) -> bool:
    """The same question, asked of Python's parser."""
    met: list[list[str]] = []
    json.loads(text, object_pairs_hook=lambda pairs: met.append([key for key, _ in pairs]))
    return len(set(met[-1])) < len(met[-1])  # the outermost object is done last


@settings(max_examples=300, deadline=None)
@given(events)
def test_any_object_is_judged_as_pythons_parser_judges_it(text: str) -> None:
    assert repeat_in(text) == stands_twice(text)


@settings(max_examples=500, deadline=None)
@given(events)
@example('{"type":"output","output":1,"x":11}')
@example('{"x1":1,"x":2,"type":"output","output":1}')
@example('{"output":"as long as what follows and more","type":"output","type":"output"}')
@example('{"type":"output","output":1,"x":1,"x":1}')
@example('{"type":"output","output":{"a":1},"x":2,"x":{"a":1}}')
@example('{"type":"output","output":"b","x":1,"x":"a\\"b"}')
def test_an_event_tells_of_its_keys_and_no_others(text: str) -> None:
    event = parse(text)
    if not isinstance(event, Unrecognised):
        assert (event.anomaly == "duplicate_keys") == stands_twice(text)
