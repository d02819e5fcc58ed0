"""References between nodes: ``$node.attr.0.attr``, always a whole value. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.problems import Location

MAX_INDEX = 999
"""The largest list index a reference may hold; placeholders build lists that long."""

MAX_PARTS = 50
"""The longest path; placeholders nest that deep."""


@dataclass(frozen=True)
class Reference:
    """A pointer into a node's output. ``path`` is empty for the whole output."""

    node: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "$" + ".".join((self.node, *self.path))


class ReferenceSyntaxError(ValueError):
    """The text starts with ``$`` but names no node, has an empty part or too large an index."""


class UnresolvedReference(LookupError):
    """The value has nothing at the place the reference names."""

    def __init__(self, reference: Reference, reason: str) -> None:
        self.reference = reference
        self.reason = reason
        super().__init__(f"{reference} does not resolve: {reason}")


def is_reference(value: Any) -> bool:
    """Whether a value of a definition is meant as a reference, well formed or not."""
    return isinstance(value, str) and value.startswith("$")


def parse(text: str) -> Reference:
    """Read ``$node.path``; the node id is everything up to the first dot."""
    node, *path = text[1:].split(".")
    if not node:
        raise ReferenceSyntaxError(f"{text!r} names no node")
    if "" in path:
        raise ReferenceSyntaxError(f"{text!r} has an empty part")
    if len(path) > MAX_PARTS:
        raise ReferenceSyntaxError(f"a path of {len(path)} parts is longer than {MAX_PARTS}")
    if any(is_index(part) and (len(part) > 4 or int(part) > MAX_INDEX) for part in path):
        raise ReferenceSyntaxError(f"{text!r} has an index above {MAX_INDEX}")
    return Reference(node, tuple(path))


def is_index(part: str) -> bool:
    """Whether a part of a path can be a list index."""
    return part.isascii() and part.isdigit()


def find(value: Any, loc: Location = ()) -> Iterator[tuple[Location, str]]:
    """Every reference text in a value of any depth, with the place it stands at."""
    if is_reference(value):
        yield loc, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from find(child, (*loc, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from find(child, (*loc, index))


def resolve(value: Any, outputs: Mapping[str, Any]) -> Any:
    """A copy of ``value`` with every reference replaced by what it points at.

    Values that come out of ``outputs`` are not searched again: a prompt that starts with ``$``
    stays a prompt.

    Raises:
        UnresolvedReference: the first reference that points at nothing.
    """
    if is_reference(value):
        return look_up(parse(value), outputs)
    if isinstance(value, dict):
        return {key: resolve(child, outputs) for key, child in value.items()}
    if isinstance(value, list):
        return [resolve(child, outputs) for child in value]
    return value


def look_up(reference: Reference, outputs: Mapping[str, Any]) -> Any:
    """Follow one reference. A numeric part is an index in a list and a key in an object."""
    if reference.node not in outputs:
        raise UnresolvedReference(reference, f"node {reference.node!r} has no output")
    value = outputs[reference.node]
    for part in reference.path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and is_index(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnresolvedReference(reference, f"{_kind(value)} has no {part!r}")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "the object"
    if isinstance(value, list):
        return f"the list of {len(value)}"
    return f"the value of type {type(value).__name__}"
