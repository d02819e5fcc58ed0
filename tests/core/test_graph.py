"""Definitions read as graphs: the published shapes, and anything else somebody may send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.graph import MAX_PROBLEMS, Graph, Node, read_graph

SHIPPED = Path(__file__).parents[2] / "emulator" / "workflows" / "fal-ai"


def graph(document: Any) -> Graph:
    return read_graph(json.dumps(document).encode())


def run(app: str = "x", depends: Any = (), **payload: Any) -> dict[str, Any]:
    return {"type": "run", "app": app, "depends": list(depends), "input": payload}


def waits(document: Any) -> dict[str, tuple[str, ...]]:
    return {key: node.waits_for for key, node in graph(document).nodes.items()}


def test_the_sticker_workflow() -> None:
    assert read_graph((SHIPPED / "sdxl-sticker.json").read_bytes()) == Graph(
        nodes={
            "stable_diffusion_xl": Node("stable_diffusion_xl", "run", "fal-ai/fast-sdxl"),
            "rembg": Node("rembg", "run", "fal-ai/imageutils/rembg", ("stable_diffusion_xl",)),
            "face_to_sticker": Node("face_to_sticker", "run", "fal-ai/face-to-sticker", ("rembg",)),
        },
        order=("stable_diffusion_xl", "rembg", "face_to_sticker"),
        output=("face_to_sticker",),
    )


def test_the_poster_workflow() -> None:
    read = read_graph((SHIPPED / "poster-lab.json").read_bytes())
    assert {key: node.waits_for for key, node in read.nodes.items()} == {
        "headline": (),
        "hero": (),
        "backdrop": (),
        "cutout": ("hero",),
        "sticker": ("headline", "cutout"),
        "upscale": ("backdrop",),
        "output": ("headline", "sticker", "upscale"),
    }
    assert read.order[:3] == ("headline", "hero", "backdrop")
    assert (read.order[-1], sorted(read.order)) == ("output", sorted(read.nodes))
    assert (read.output, read.problems) == (("headline", "sticker", "upscale"), ())


def test_all_shapes_of_a_definition_are_the_same_graph() -> None:
    document = json.loads((SHIPPED / "poster-lab.json").read_bytes())
    whole, bare, flat = (
        graph(each) for each in (document, document["contents"], document["contents"]["nodes"])
    )
    assert whole == bare
    assert (flat.nodes, flat.order, flat.output) == (whole.nodes, whole.order, ())


def test_the_types_of_fals_platform_api_are_read_too() -> None:
    nodes = {
        "node_a1b2c3": {"type": "model", "app": "fal-ai/flux", "input": {"p": "$input.prompt"}},
        "output": {"type": "output", "fields": {"image": "$node_a1b2c3.images.0.url"}},
    }
    assert graph({"nodes": nodes}) == Graph(
        nodes={
            "node_a1b2c3": Node("node_a1b2c3", "run", "fal-ai/flux"),
            "output": Node("output", "display", None, ("node_a1b2c3",)),
        },
        order=("node_a1b2c3", "output"),
    )


def test_a_node_waits_for_what_it_reads_and_for_what_it_depends_on() -> None:
    assert waits(
        {
            "a": run(),
            "b": run(deep=[{"url": "$a.images.0.url"}]),
            "c": run(depends=["a", "a"], whole="$b", again="$b.x"),
            "d": {"type": "display", "fields": {"out": ["$c.x"]}},
        }
    ) == {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("c",)}


def test_only_whole_values_are_references() -> None:
    assert waits({"a": run(), "b": run(prompt="costs $a.b", other={"$a": 1})}) == {"a": (), "b": ()}


def test_a_node_that_is_the_request_s_input_is_waited_for_and_waits_for_nothing() -> None:
    defaults = {"type": "input", "input": {"prompt": "$100 bill"}}
    read = graph({"b": run(p="$input.prompt"), "input": defaults})
    assert read == Graph(
        nodes={"b": Node("b", "run", "x", ("input",)), "input": Node("input", "input")},
        order=("input", "b"),
    )


def test_a_node_goes_by_its_key_and_by_the_id_written_in_it() -> None:
    nodes = {"a": run() | {"id": "other"}, "b": run(u="$a.one", v="$other.two")}
    assert waits(nodes) == {"a": (), "b": ("a",)}


def test_an_id_that_is_taken_is_told_and_keys_win() -> None:
    nodes = {"a": run() | {"id": "b"}, "b": run(), "c": run(u="$b.x")}
    read = graph(nodes)
    assert read.nodes["c"].waits_for == ("b",)
    assert read.problems == ("'a' has the id of 'b'",)


def test_nodes_named_like_parts_of_a_document_are_nodes() -> None:
    flat = {"nodes": run(), "contents": run(u="$nodes.url")}
    assert waits(flat) == {"nodes": (), "contents": ("nodes",)}


def test_nodes_on_a_cycle_and_behind_it_are_read_and_have_no_place_in_the_order() -> None:
    read = graph(
        {"a": run(), "b": run(u="$c.x"), "c": run(u="$b.x"), "d": run(u="$c.x"), "e": run(u="$e")}
    )
    assert {key: node.waits_for for key, node in read.nodes.items()} == {
        "a": (),
        "b": ("c",),
        "c": ("b",),
        "d": ("c",),
        "e": ("e",),
    }
    assert read.order == ("a",)
    [problem] = read.problems
    assert problem.startswith("nodes wait for each other: ")


def test_what_cannot_be_read_is_told_and_the_rest_is_read() -> None:
    read = graph(
        {
            "nodes": {
                "a": run() | {"depends": ["gone", 5]},
                "b": {"type": ["odd"], "depends": "a", "input": "$a"},
                "c": "no node",
                "d": {},
                "e": run(u="$"),
            },
            "output": {"o": "$nobody.x", "p": "$a.x"},
        }
    )
    assert {key: node.waits_for for key, node in read.nodes.items()} == {
        "a": (),
        "b": ("a",),
        "d": (),
        "e": (),
    }
    assert {key: node.kind for key, node in read.nodes.items()} == {
        "a": "run",
        "b": "other",
        "d": "other",
        "e": "run",
    }
    assert (read.order, read.output) == (("a", "d", "e", "b"), ("a",))
    assert read.problems == (
        "'c' is no node",
        "'a' depends on what is no list of ids",
        "'a' waits for 'gone', no node",
        "'b' is of the unknown type ['odd']",
        "'b' depends on what is no list of ids",
        "'d' is of the unknown type None",
        "'e' waits for '', no node",
        "the output waits for 'nobody', no node",
    )


@pytest.mark.parametrize(
    "definition",
    [b"", b"\xff", b"{", b"NaN!", b"[" * 100_000, b"9" * 10_000],
    ids=["nothing", "no text", "no end", "no value", "too deep", "too long a number"],
)
def test_what_is_no_json_is_an_empty_graph_with_a_reason(definition: bytes) -> None:
    reason = "the definition is no JSON, or nested too deeply"
    assert read_graph(definition) == Graph(problems=(reason,))


@pytest.mark.parametrize("document", [None, [], "x", {"nodes": []}, {"contents": {"nodes": 1}}])
def test_what_has_no_nodes_is_an_empty_graph_with_a_reason(document: Any) -> None:
    assert graph(document) == Graph(problems=("the definition has no object of nodes",))


def test_problems_are_short_and_not_too_many() -> None:
    read = graph({"k" * 1_000 + str(number): 1 for number in range(200)})
    assert len(read.problems) == MAX_PROBLEMS
    assert max(map(len, read.problems)) < 120


names = st.sampled_from(["a", "b", "c", "input", "id", "nodes", "contents", "type", "depends"])
leaves = st.none() | st.booleans() | names | names.map("${}.x".format)
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(names, leaves, max_size=3)
nodes = st.fixed_dictionaries(
    {"type": st.sampled_from(["run", "display", "input", 1])},
    optional={"input": values, "fields": values, "depends": values, "id": leaves, "app": leaves},
)


@settings(deadline=None)
@given(st.dictionaries(names, nodes | values, max_size=5))
def test_any_document_is_read_and_its_order_keeps_what_it_promises(document: Any) -> None:
    read = graph(document)
    assert set(read.output) <= read.nodes.keys()
    done: set[str] = set()
    for key in read.order:
        assert done.issuperset(read.nodes[key].waits_for)
        done.add(key)
    left = read.nodes.keys() - done
    assert all(not done.issuperset(read.nodes[key].waits_for) for key in left)
