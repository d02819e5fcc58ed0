"""The input a workflow declares in ``schema.input``, and the check of a request against it.

Two forms are met: a JSON schema (``{"properties": .., "required": [..]}``, written by the package
``fal``) and the editor's map (``{field: {"type": .., "required": true}}``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.problems import Invalid, Problem


@dataclass(frozen=True)
class Field:
    """A declared input field. ``type`` is None when any value will do."""

    required: bool
    type: str | None = None
    default: Any = None


def parse_fields(schema: Any) -> dict[str, Field]:
    """The declared fields by name; empty when the schema declares none in a form known here."""
    if not isinstance(schema, dict):
        return {}
    properties = schema.get("properties")
    if isinstance(properties, dict) and (
        schema.get("type") == "object" or isinstance(schema.get("required"), list)
    ):
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        return {name: _field(spec, name in names) for name, spec in properties.items()}
    return {
        name: _field(spec, spec.get("required") is True)
        for name, spec in schema.items()
        if isinstance(spec, dict)
    }


def apply(fields: Mapping[str, Field], body: Mapping[str, Any]) -> dict[str, Any]:
    """The input a run starts with: the body, completed by defaults.

    A declared field that is optional, absent and without a default becomes null, so that a
    reference to it resolves.

    Raises:
        Invalid: a required field is missing, or a value has the wrong type.
    """
    problems = [
        problem
        for name, field in fields.items()
        if (problem := _check(name, field, body)) is not None
    ]
    if problems:
        raise Invalid(problems)
    return {name: field.default for name, field in fields.items()} | dict(body)


def _field(spec: Any, required: bool) -> Field:
    if not isinstance(spec, dict):
        return Field(required)
    declared = spec.get("type")
    known = declared if isinstance(declared, str) and declared in _CHECKS else None
    return Field(required and spec.get("default") is None, known, spec.get("default"))


def _check(name: str, field: Field, body: Mapping[str, Any]) -> Problem | None:
    if name not in body:
        return Problem((name,), "field required", "value_error.missing") if field.required else None
    value = body[name]
    if field.type is None or (value is None and not field.required):
        return None
    accepts, msg, kind = _CHECKS[field.type]
    return None if accepts(value) else Problem((name,), msg, kind)


def _is_integer(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "string": (lambda value: isinstance(value, str), "str type expected", "type_error.str"),
    "integer": (_is_integer, "value is not a valid integer", "type_error.integer"),
    "number": (_is_number, "value is not a valid number", "type_error.float"),
    "boolean": (
        lambda value: isinstance(value, bool),
        "value is not a valid boolean",
        "type_error.bool",
    ),
    "array": (
        lambda value: isinstance(value, list),
        "value is not a valid list",
        "type_error.list",
    ),
    "object": (
        lambda value: isinstance(value, dict),
        "value is not a valid dict",
        "type_error.dict",
    ),
}
