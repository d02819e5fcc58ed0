from __future__ import annotations

import pytest

from emulator import references
from emulator.references import Reference, ReferenceSyntaxError, UnresolvedReference


def test_the_node_id_is_the_text_up_to_the_first_dot() -> None:
    assert references.parse("$fal-ai/a_2.images.0.url") == Reference(
        "fal-ai/a_2", ("images", "0", "url")
    )


def test_a_reference_may_point_at_a_whole_output() -> None:
    assert references.parse("$node") == Reference("node", ())


@pytest.mark.parametrize("text", ["$", "$.a", "$a..b", "$a.", "$a.1000", "$a" + ".b" * 51])
def test_malformed_references_are_refused(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError):
        references.parse(text)


def test_references_are_found_at_any_depth_with_their_place() -> None:
    value = {"a": "$x.y", "b": [1, {"c": "$z"}], "d": "costs $5"}
    assert list(references.find(value)) == [(("a",), "$x.y"), (("b", 1, "c"), "$z")]


def test_references_resolve_at_any_depth_and_only_as_whole_values() -> None:
    outputs = {"n": {"images": [{"url": "u"}], "0": "zero"}}
    value = {"a": ["$n.images.0.url", {"b": "$n.0"}], "c": "see $n.0", "d": 1}
    assert references.resolve(value, outputs) == {
        "a": ["u", {"b": "zero"}],
        "c": "see $n.0",
        "d": 1,
    }


def test_a_value_that_looks_like_a_reference_is_not_resolved_again() -> None:
    assert (
        references.resolve("$input.prompt", {"input": {"prompt": "$input.seed"}}) == "$input.seed"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$m", "node 'm' has no output"),
        ("$n.b", "the object has no 'b'"),
        ("$n.a.1", "the list of 1 has no '1'"),
        ("$n.a.b", "the list of 1 has no 'b'"),
        ("$n.a.0.b", "the value of type int has no 'b'"),
    ],
)
def test_what_does_not_resolve_says_why(text: str, reason: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        references.resolve(text, {"n": {"a": [7]}})
    assert (caught.value.reference, caught.value.reason) == (references.parse(text), reason)
