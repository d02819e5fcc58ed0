"""What DuckDB's types become in each form of an answer, and how its values are written in JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from analytics.console.asked import Form

Type = Any
"""A `DuckDBPyType`: `id`, and `children` where it is nested."""

Write = Callable[[Any], Any]

_SMALL_INTEGERS: Final = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}
)
_LARGE_INTEGERS: Final = frozenset({"hugeint", "uhugeint", "bignum"})
_FLOATS: Final = frozenset({"float", "double"})
_MOMENTS: Final = frozenset(
    {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
)
_KEPT: Final[dict[Form, frozenset[str]]] = {
    "json": _SMALL_INTEGERS | _FLOATS | {"boolean", "decimal", "varchar", "blob", "null"},
    "csv": _SMALL_INTEGERS | _FLOATS | {"boolean", "decimal", "hugeint"},
    "parquet": (
        _SMALL_INTEGERS
        | _FLOATS
        | _MOMENTS
        | {"boolean", "decimal", "hugeint", "varchar", "blob", "null", "date", "time"}
    ),
}
_KEPT["arrow"] = _KEPT["parquet"]
_FORMULA: Final = "('=', '+', '-', '@', chr(9), chr(13))"


def cast_to(kind: Type, form: Form) -> str:
    """The type a column is cast to: itself where the form has it, text where it has none like it."""
    if kind.id in _KEPT[form]:
        return str(kind)
    if form == "csv":
        return "VARCHAR"
    match kind.id:
        case "list":
            return f"{cast_to(_children(kind)['child'], form)}[]"
        case "array":
            children = _children(kind)
            return f"{cast_to(children['child'], form)}[{children['size']}]"
        case "map":
            children = _children(kind)
            return f"MAP({cast_to(children['key'], form)}, {cast_to(children['value'], form)})"
        case "struct":
            fields = (f"{quoted(name)} {cast_to(field, form)}" for name, field in kind.children)
            return f"STRUCT({', '.join(fields)})"
        case _:
            return "VARCHAR"


def _children(kind: Type) -> dict[str, Any]:
    return dict(kind.children)


def expression(place: int, name: str, kind: Type, form: Form) -> str:
    """The column at a place, from 1, of a select list, cast for the form and named as it was."""
    column = f"#{place}"
    if form == "csv":
        return f"{_csv_cell(column, kind)} AS {quoted(safe_cell(name))}"
    target = cast_to(kind, form)
    cast = column if target == str(kind) else f"CAST({column} AS {target})"
    return f"{cast} AS {quoted(name)}"


def _csv_cell(column: str, kind: Type) -> str:
    if kind.id in _KEPT["csv"]:
        return column
    text = f"to_base64({column})" if kind.id == "blob" else f"CAST({column} AS VARCHAR)"
    return f"CASE WHEN left({text}, 1) IN {_FORMULA} THEN '''' || {text} ELSE {text} END"


def safe_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: with a `'` before what would begin one (OWASP)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def json_writer(kind: Type) -> Write | None:
    """How the values of a column are written in JSON, once cast; None where they stand as they are."""
    match kind.id:
        case identifier if identifier in _FLOATS:
            return _float
        case identifier if identifier in _LARGE_INTEGERS:
            return _digits
        case identifier if identifier in _MOMENTS:
            return _moment
        case "list" | "array":
            return _each(json_writer(_children(kind)["child"]))
        case "map":
            return _map(json_writer(_children(kind)["value"]))
        case "struct":
            writers = {name: json_writer(field) for name, field in kind.children}
            return _fields({name: write for name, write in writers.items() if write is not None})
        case _:
            return None


def _float(value: float | None) -> float | str | None:
    if value is None or value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def _digits(value: str | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value.encode())


def _moment(value: str | None) -> str | None:
    if value is None:
        return None
    text = value.replace(" ", "T", 1)
    return text.removesuffix("+00") + "Z" if text.endswith("+00") else text


def _each(write: Write | None) -> Write | None:
    if write is None:
        return None
    return lambda values: None if values is None else [write(value) for value in values]


def _map(write: Write | None) -> Write:
    def written(pairs: list[tuple[Any, Any]] | None) -> dict[str, Any] | None:
        if pairs is None:
            return None
        return {_key(key): value if write is None else write(value) for key, value in pairs}

    return written


def _key(key: Any) -> str:
    return key if isinstance(key, str) else msgspec.json.encode(key).decode()


def _fields(writers: dict[str, Write]) -> Write | None:
    if not writers:
        return None

    def written(fields: dict[str, Any] | None) -> dict[str, Any] | None:
        if fields is None:
            return None
        return fields | {name: write(fields[name]) for name, write in writers.items()}

    return written
