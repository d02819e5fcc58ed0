"""The graph of a workflow, read from its definition.

Definitions come as an editor's document, as its `contents` alone, or as the flat map of nodes that
`workflows/execute` takes. A node waits for those it names in `depends` and for those it reads from; a
reference is a whole value, `$node.attr.0.attr`, and its node is the text up to the first dot.

Reading is total. A definition may be anything somebody once sent: what can be read of it is, and what
cannot is told in `problems`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Literal

import msgspec

NodeKind = Literal["run", "display", "input", "other"]

MAX_PROBLEMS: Final = 50
"""More are not told."""

_INPUT: Final = "input"
"""The name under which nodes read the request's input, whether there is such a node or not."""

_KINDS: Final[Mapping[str, NodeKind]] = {
    "run": "run",
    "model": "run",  # as fal's platform API has it in its examples
    "display": "display",
    "output": "display",  # likewise
    "input": "input",
}
_SHOWN_CHARACTERS: Final = 80


class Node(msgspec.Struct, frozen=True):
    """A node of a workflow.

    Attributes:
        id: Its key in the definition, which is what events call it.
        kind: `run` calls an app, `display` picks the workflow's results, `input` is the request's input.
        app: What a run node calls.
        waits_for: The nodes that have to be done before it, in the order of the definition.
    """

    id: str
    kind: NodeKind
    app: str | None = None
    waits_for: tuple[str, ...] = ()


class Graph(msgspec.Struct, frozen=True):
    """A workflow's nodes and what each waits for.

    Attributes:
        nodes: By id, in the order of the definition.
        order: The ids so that each comes after all it waits for; those on a cycle, or behind one, are
            not among them.
        output: The nodes that the workflow's `output` is read from.
        problems: What could not be read, a line each; empty where all is well.
    """

    nodes: Mapping[str, Node] = {}
    order: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_graph(definition: bytes) -> Graph:
    """The graph of a definition. Total."""
    try:
        document = json.loads(definition)
    except (ValueError, RecursionError):
        return Graph(problems=("the definition is no JSON, or nested too deeply",))
    contents, given = _find_nodes(document)
    if not isinstance(given, dict):
        return Graph(problems=("the definition has no object of nodes",))
    reading = _Reading(given)
    nodes = {key: reading.node(key, raw) for key, raw in reading.raw.items()}
    output = reading.resolve("the output", _references(contents.get("output")))
    order = reading.sort(nodes)
    return Graph(nodes, order, output, tuple(reading.problems[:MAX_PROBLEMS]))


def _find_nodes(document: Any) -> tuple[dict[str, Any], Any]:
    """What stands beside the nodes (nothing for a flat map), and the nodes."""
    if not isinstance(document, dict):
        return {}, None
    inner = document.get("contents")
    if isinstance(inner, dict) and "nodes" in inner:
        return inner, inner["nodes"]
    nodes = document.get("nodes")
    is_node = isinstance(nodes, dict) and isinstance(nodes.get("type"), str)
    if "nodes" in document and not is_node:
        return document, nodes
    return {}, document


class _Reading:
    """A map of nodes being read; notes what cannot be, while the rest is."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.raw = {key: node for key, node in given.items() if isinstance(node, dict)}
        self.problems = [f"{_shown(key)} is no node" for key in given if key not in self.raw]
        self._place = {key: place for place, key in enumerate(self.raw)}
        self._names = {key: key for key in self.raw}
        for key, node in self.raw.items():
            self._name(node.get("id"), key)

    def _name(self, own_id: Any, key: str) -> None:
        """Nodes go by their keys, and by the ids written in them where those are free."""
        if isinstance(own_id, str) and self._names.setdefault(own_id, key) != key:
            other = self._names[own_id]
            self.problems.append(f"{_shown(key)} has the id of {_shown(other)}")

    def node(self, key: str, raw: dict[str, Any]) -> Node:
        kind = self._kind(key, raw.get("type"))
        wanted = self._depends(key, raw.get("depends"))
        if kind != "input":
            wanted |= _references([raw.get("input"), raw.get("fields")])
        app = raw.get("app")
        return Node(
            id=key,
            kind=kind,
            app=app if isinstance(app, str) else None,
            waits_for=self.resolve(_shown(key), wanted),
        )

    def resolve(self, who: str, wanted: set[str]) -> tuple[str, ...]:
        """The keys of named nodes, in order; a name that is nobody's is a problem of who names it."""
        unknown = sorted(name for name in wanted if name not in self._names and name != _INPUT)
        self.problems += [f"{who} waits for {_shown(name)}, no node" for name in unknown]
        keys = {self._names[name] for name in wanted if name in self._names}
        return tuple(sorted(keys, key=self._place.__getitem__))

    def sort(self, nodes: Mapping[str, Node]) -> tuple[str, ...]:
        """The nodes in order, as far as cycles let them be put in one."""
        sorter = TopologicalSorter({key: node.waits_for for key, node in nodes.items()})
        try:
            sorter.prepare()
        except CycleError as error:
            cycle = " <- ".join(map(_shown, error.args[1]))
            self.problems.append(f"nodes wait for each other: {_cut(cycle)}")
        order: list[str] = []
        while ready := sorter.get_ready():
            order += ready
            sorter.done(*ready)
        return tuple(order)

    def _kind(self, key: str, given: Any) -> NodeKind:
        kind = _KINDS.get(given) if isinstance(given, str) else None
        if kind is None:
            self.problems.append(f"{_shown(key)} is of the unknown type {_shown(given)}")
        return kind or "other"

    def _depends(self, key: str, given: Any) -> set[str]:
        named = given if isinstance(given, list) else []
        wanted = {name for name in named if isinstance(name, str)}
        if not isinstance(given, list | None) or not all(isinstance(each, str) for each in named):
            self.problems.append(f"{_shown(key)} depends on what is no list of ids")
        return wanted


def _references(value: Any) -> set[str]:
    """The names of the nodes that a value of any depth reads from."""
    found = set()
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list):
            left += each
        elif isinstance(each, str) and each.startswith("$"):
            found.add(each[1:].partition(".")[0])
    return found


def _shown(value: Any) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
