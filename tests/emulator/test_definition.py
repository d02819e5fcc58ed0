from __future__ import annotations

from typing import Any

import pytest

from emulator.definition import parse
from emulator.input_schema import Field
from emulator.problems import Invalid
from tests.emulator.builders import display_node, editor, input_node, run_node

NOT_A_MAP = "nodes must be an object of node id to node"
Found = list[tuple[tuple[str | int, ...], str]]


def problems_of(document: Any) -> Found:
    with pytest.raises(Invalid) as caught:
        parse(document)
    return [(problem.loc, problem.msg) for problem in caught.value.problems]


def test_the_graph_is_references_and_depends_together() -> None:
    nodes = {
        "a": run_node("x"),
        "b": run_node("x", ["input"], deep=[{"u": "$a.images.0.url"}]),
        "c": run_node("x", ["a"], u="$b"),
        "d": display_node({"out": "$c.x"}),
    }
    assert parse(nodes).edges == {
        "a": frozenset(),
        "b": frozenset({"a"}),
        "c": frozenset({"a", "b"}),
        "d": frozenset({"c"}),
    }


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: d["contents"]], ids=["document", "bare"])
def test_the_editor_shape_is_read_whole_or_as_bare_contents(wrap: Any) -> None:
    schema = {"prompt": {"type": "string", "required": True}, "n": {"type": "image"}}
    document = editor({"a": run_node("x", p="$input.prompt")}, {"o": "$a.text"}, schema)
    definition = parse(wrap(document))
    assert list(definition.nodes) == ["a"]
    assert definition.output == {"o": "$a.text"}
    assert definition.input_fields == {"prompt": Field(True, "string"), "n": Field(False)}


def test_a_json_schema_declares_input_fields_too() -> None:
    schema = {
        "type": "object",
        "properties": {"p": {"type": "string"}, "n": {"type": "integer", "default": 3}},
        "required": ["p"],
    }
    definition = parse(editor({}, {}, schema))
    assert definition.input_fields == {
        "p": Field(True, "string"),
        "n": Field(False, "integer", 3),
    }


def test_nodes_called_nodes_or_contents_do_not_confuse_the_flat_shape() -> None:
    flat = {"nodes": run_node("x"), "contents": run_node("x", u="$nodes.url")}
    assert list(parse(flat).nodes) == ["nodes", "contents"]


def test_a_node_is_known_by_its_key_and_by_its_own_id() -> None:
    nodes = {
        "a": run_node("x") | {"id": "other"},
        "b": run_node("x", u="$a.one", v="$other.two"),
    }
    definition = parse(nodes)
    assert definition.edges["b"] == {"a"}
    assert definition.paths_into(definition.nodes["a"]) == [("one",), ("two",)]


def test_an_id_that_would_mean_two_nodes_is_refused() -> None:
    nodes = {"a": run_node("x") | {"id": "c"}, "b": run_node("x") | {"id": "c"}}
    assert problems_of(nodes) == [(("b", "id"), "id 'c' also names node 'a'")]
    nodes = {"a": run_node("x") | {"id": "b"}, "b": run_node("x")}
    assert problems_of(nodes) == [(("a", "id"), "id 'b' also names node 'b'")]


def test_only_an_input_node_may_be_called_input() -> None:
    assert list(parse({"input": input_node(), "start": input_node()}).nodes) == ["input", "start"]
    msg = "'input' is the request's input, a run node cannot have that id"
    assert problems_of({"input": run_node("x")}) == [(("input",), msg)]


def test_a_cycle_is_named_node_by_node() -> None:
    nodes = {"a": run_node("x", u="$b.url"), "b": run_node("x", ["a"])}
    [(loc, msg)] = problems_of(editor(nodes))
    assert loc == ("contents", "nodes")
    assert msg in (
        "the nodes wait for each other: a -> b -> a",
        "the nodes wait for each other: b -> a -> b",
    )


def test_a_node_that_reads_itself_is_a_cycle() -> None:
    assert problems_of({"a": run_node("x", u="$a.url")}) == [
        ((), "the nodes wait for each other: a -> a")
    ]


def test_unknown_nodes_are_refused_wherever_they_are_named() -> None:
    nodes = {"a": run_node("x", ["b"], u=["$c.url"]), "d": display_node({"o": "$e"})}
    assert problems_of(editor(nodes, {"z": "$f.url"})) == [
        (("contents", "nodes", "a", "input", "u", 0), "unknown node 'c'"),
        (("contents", "nodes", "d", "fields", "o"), "unknown node 'e'"),
        (("contents", "output", "z"), "unknown node 'f'"),
        (("contents", "nodes", "a", "depends", 0), "unknown node 'b'"),
    ]


def test_malformed_references_are_refused_with_their_place() -> None:
    assert problems_of({"a": run_node("x", u="$")}) == [(("a", "input", "u"), "'$' names no node")]


@pytest.mark.parametrize(
    ("node", "loc", "msg"),
    [
        (None, (), "a node must be an object"),
        ({}, ("type",), "field required"),
        ({"type": "loop"}, ("type",), "unknown node type 'loop', expected run, display or input"),
        ({"type": []}, ("type",), "unknown node type [], expected run, display or input"),
        ({"type": "run"}, ("app",), "a run node needs an app id"),
        (run_node("x") | {"input": [1]}, ("input",), "value is not a valid dict"),
        (run_node("x") | {"depends": "a"}, ("depends",), "a list of node ids is expected"),
        (run_node("x") | {"depends": [1]}, ("depends",), "a list of node ids is expected"),
        (run_node("x") | {"id": 7}, ("id",), "str type expected"),
    ],
)
def test_a_malformed_node_is_refused(node: Any, loc: tuple[str, ...], msg: str) -> None:
    assert problems_of({"n": node}) == [(("n", *loc), msg)]


@pytest.mark.parametrize(
    ("document", "loc", "msg"),
    [
        ([], (), "a workflow definition must be an object"),
        ({"nodes": []}, ("nodes",), NOT_A_MAP),
        ({"contents": {"nodes": 1}}, ("contents", "nodes"), NOT_A_MAP),
        ({"title": "x"}, ("title",), "a node must be an object"),
    ],
)
def test_what_is_no_definition_is_refused(document: Any, loc: tuple[str, ...], msg: str) -> None:
    assert problems_of(document) == [(loc, msg)]


def test_sinks_are_the_run_nodes_nobody_waits_for() -> None:
    nodes = {"a": run_node("x"), "b": run_node("x", ["a"]), "c": run_node("x")}
    assert [node.id for node in parse(nodes).sinks()] == ["b", "c"]
