"""Workflow definitions: reading the published shapes into one checked graph. Pure functions."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from emulator import references
from emulator.input_schema import Field, parse_fields
from emulator.problems import Invalid, Location, Problem, invalid
from emulator.references import Reference

INPUT = "input"
"""The name under which references reach the request's input in every shape."""


@dataclass(frozen=True)
class Node:
    """One node. ``id`` is its key in the definition, the one events carry.

    ``payload`` is the input of a run node, the fields of a display node, and the default values of
    an input node. ``own_id`` is the id written inside the node, where it differs from the key.
    """

    id: str
    type: Literal["run", "display", "input"]
    payload: Any
    app: str = ""
    own_id: str = ""
    depends: tuple[str, ...] = ()
    loc: Location = ()


@dataclass(frozen=True)
class Definition:
    """A checked workflow: every reference names a node and there is no cycle.

    ``edges`` maps a node to the nodes it waits for, references and ``depends`` together.
    ``references`` holds every reference found in the nodes and in ``output``.
    """

    nodes: Mapping[str, Node]
    edges: Mapping[str, frozenset[str]]
    references: tuple[Reference, ...]
    output: Any = None
    input_fields: Mapping[str, Field] = field(default_factory=dict)
    title: str = ""

    def paths_into(self, node: Node) -> list[tuple[str, ...]]:
        """What the rest of the workflow reads from a node's output."""
        return [r.path for r in self.references if r.node in (node.id, node.own_id)]

    def sinks(self) -> list[Node]:
        """The run nodes nobody waits for."""
        awaited = frozenset[str]().union(*self.edges.values())
        return [n for n in self.nodes.values() if n.type == "run" and n.id not in awaited]


def parse(document: Any) -> Definition:
    """Read a definition: an editor document, its bare ``contents``, or a flat map of nodes.

    Raises:
        Invalid: every problem of the first stage that found one: the form of the nodes, their
            names, the references and ``depends``, cycles.
    """
    if not isinstance(document, dict):
        raise invalid((), "a workflow definition must be an object", "type_error.dict")
    contents, raw_nodes, loc = _find_nodes(document)
    nodes = _parse_nodes(raw_nodes, loc)
    names = _names(nodes)
    output = contents.get("output")
    schema = contents.get("schema")
    found = [*_node_references(nodes), *references.find(output, (*loc[:-1], "output"))]
    title = document.get("title")
    definition = Definition(
        nodes=nodes,
        edges=_edges(nodes, names, found),
        references=tuple(references.parse(text) for _, text in found),
        output=output,
        input_fields=parse_fields(schema.get("input") if isinstance(schema, dict) else None),
        title=title if isinstance(title, str) else "",
    )
    _refuse_cycles(definition.edges, loc)
    return definition


def editor_contents(document: dict[str, Any]) -> dict[str, Any]:
    """The ``contents`` of a definition in any of the shapes, as the editor keeps them."""
    contents, nodes, _ = _find_nodes(document)
    return contents or {"nodes": nodes}


def _find_nodes(document: dict[str, Any]) -> tuple[dict[str, Any], Any, Location]:
    """The ``contents`` (empty for a flat map), the map of nodes and where that map stands."""
    inner = document.get("contents")
    if isinstance(inner, dict) and "nodes" in inner:
        return inner, inner["nodes"], ("contents", "nodes")
    nodes = document.get("nodes")
    if "nodes" in document and not (isinstance(nodes, dict) and isinstance(nodes.get("type"), str)):
        return document, nodes, ("nodes",)
    return {}, document, ()


def _parse_nodes(raw_nodes: Any, loc: Location) -> dict[str, Node]:
    if not isinstance(raw_nodes, dict):
        raise invalid(loc, "nodes must be an object of node id to node", "type_error.dict")
    nodes: dict[str, Node] = {}
    problems: list[Problem] = []
    for key, raw in raw_nodes.items():
        try:
            nodes[key] = _parse_node(key, raw, (*loc, key))
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid(problems)
    return nodes


def _parse_node(key: str, raw: Any, loc: Location) -> Node:
    if not isinstance(raw, dict):
        raise invalid(loc, "a node must be an object", "type_error.dict")
    own_id = raw.get("id", key)
    if not isinstance(own_id, str):
        raise invalid((*loc, "id"), "str type expected", "type_error.str")
    depends = raw.get("depends") or []
    if not isinstance(depends, list) or not all(isinstance(name, str) for name in depends):
        raise invalid((*loc, "depends"), "a list of node ids is expected", "type_error.list")
    node_type = raw.get("type")
    if node_type == "run":
        app, payload = raw.get("app"), raw.get("input", {})
        if not isinstance(app, str) or not app:
            raise invalid((*loc, "app"), "a run node needs an app id", "value_error.missing")
        if not isinstance(payload, dict) and not references.is_reference(payload):
            raise invalid((*loc, "input"), "value is not a valid dict", "type_error.dict")
        return Node(key, "run", payload, app, own_id, tuple(depends), loc)
    if node_type == "display":
        return Node(key, "display", raw.get("fields", {}), "", own_id, tuple(depends), loc)
    if node_type == "input":
        defaults = raw.get("input")
        payload = defaults if isinstance(defaults, dict) else {}
        return Node(key, "input", payload, "", own_id, tuple(depends), loc)
    if "type" not in raw:
        raise invalid((*loc, "type"), "field required", "value_error.missing")
    msg = f"unknown node type {_shown(node_type)}, expected run, display or input"
    raise invalid((*loc, "type"), msg, "value_error.const")


def _names(nodes: Mapping[str, Node]) -> dict[str, str]:
    """Every name a reference may use, mapped to the node's key.

    A node is known by its key, and by its own ``id`` where that differs; a name that would mean
    two nodes is refused.
    """
    names = {key: key for key in nodes}
    problems = []
    for node in nodes.values():
        if names.setdefault(node.own_id, node.id) != node.id:
            msg = f"id {_shown(node.own_id)} also names node {_shown(names[node.own_id])}"
            problems.append(Problem((*node.loc, "id"), msg, "value_error.duplicate"))
        if INPUT in (node.id, node.own_id) and node.type != "input":
            msg = f"{INPUT!r} is the request's input, a {node.type} node cannot have that id"
            problems.append(Problem(node.loc, msg, "value_error.reserved"))
    if problems:
        raise Invalid(problems)
    return names


def _node_references(nodes: Mapping[str, Node]) -> Iterator[tuple[Location, str]]:
    for node in nodes.values():
        if node.type != "input":
            part = "input" if node.type == "run" else "fields"
            yield from references.find(node.payload, (*node.loc, part))


def _edges(
    nodes: Mapping[str, Node], names: Mapping[str, str], found: list[tuple[Location, str]]
) -> dict[str, frozenset[str]]:
    problems = [
        problem
        for loc, text in found
        if (problem := _check_reference(loc, text, names)) is not None
    ]
    for node in nodes.values():
        problems += [
            _unknown_node((*node.loc, "depends", index), name)
            for index, name in enumerate(node.depends)
            if name not in names and name != INPUT
        ]
    if problems:
        raise Invalid(problems)
    edges = {}
    for node in nodes.values():
        read = {references.parse(text).node for _, text in _node_references({node.id: node})}
        edges[node.id] = frozenset(names[n] for n in read.union(node.depends) if n in names)
    return edges


def _check_reference(loc: Location, text: str, names: Mapping[str, str]) -> Problem | None:
    try:
        node = references.parse(text).node
    except references.ReferenceSyntaxError as error:
        return Problem(loc, str(error), "value_error.reference")
    return None if node in names or node == INPUT else _unknown_node(loc, node)


def _unknown_node(loc: Location, name: str) -> Problem:
    return Problem(loc, f"unknown node {_shown(name)}", "value_error.unknown_node")


def _refuse_cycles(edges: Mapping[str, frozenset[str]], loc: Location) -> None:
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        path = " -> ".join(error.args[1])
        raise invalid(loc, f"the nodes wait for each other: {path}", "value_error.cycle") from None


def _shown(value: Any) -> str:
    """A name from outside, cut to a length that keeps an error message to one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
