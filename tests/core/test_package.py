"""The package from outside: light to import, its names resolve, its error tree is as drawn."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import recorder
from recorder import errors
from recorder.errors import RecorderError

HEAVY = [
    "alembic", "api", "cli", "duckdb", "fastapi", "httpx", "msgspec", "pyarrow", "pydantic",
    "sqlalchemy", "starlette", "typer", "uvicorn",
]  # fmt: skip
OF_THE_SERVICE = ["analytics", "api", "cli", "duckdb", "fastapi", "pyarrow", "typer", "uvicorn"]


def imported_by(statement: str) -> set[str]:
    """The top-level modules a fresh interpreter has after a statement."""
    script = (
        f"import sys\n{statement}\nprint(*sorted({{n.partition('.')[0] for n in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    assert imported_by("import recorder").isdisjoint(HEAVY)


def test_using_the_package_imports_nothing_of_the_service() -> None:
    assert imported_by("import recorder; recorder.open").isdisjoint(OF_THE_SERVICE)


def test_every_public_name_resolves() -> None:
    for name in recorder.__all__:
        assert getattr(recorder, name).__name__ == name


def test_every_public_name_has_a_home() -> None:
    assert sorted(recorder.__all__) == sorted(recorder._HOMES)
    for name, home in recorder._HOMES.items():
        assert getattr(recorder, name).__module__ == home


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'recorder' has no attribute 'nonsense'"):
        _ = recorder.nonsense


def _drawn_errors() -> dict[str, tuple[str | None, bool]]:
    """The docstring's tree: each error's parent, and whether it is marked as retryable."""
    drawn: dict[str, tuple[str | None, bool]] = {}
    path: list[str] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if not (found := re.match(r"    ((?:│   |    )*)(├── |└── )?([A-Z]\w+)(.*)", line)):
            continue
        indent, branch, name, rest = found.groups()
        depth = len(indent) // 4 + (branch is not None)
        path[depth:] = [name]
        drawn[name] = (path[depth - 1] if depth else None, rest.endswith("(retryable)"))
    return drawn


def test_the_error_tree_is_as_drawn() -> None:
    existing = {
        name: (
            None if kind is RecorderError else kind.__bases__[0].__name__,
            "retryable" in vars(kind) and kind.retryable,
        )
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RecorderError)
    }
    assert _drawn_errors() == existing


def test_errors_have_one_parent_and_inherit_whether_they_are_retryable() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, RecorderError) and kind is not RecorderError:
            assert len(kind.__bases__) == 1
            assert isinstance(kind.retryable, bool)
            assert kind.__doc__


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.SequenceConflict("r", 2, next_seq=3), "run r: seq 2 holds other bytes"),
        (errors.SequenceConflict("r", 5, next_seq=3), "run r: seq 5 would leave a hole, next is 3"),
        (errors.RunClosed("r", 3), "run r is closed; seq 3 comes too late"),
        (errors.RunNotFound("r"), "no run r"),
        (
            errors.ProjectionFailed("runs", 7, "no such thing"),
            "projection runs stopped at position 7: no such thing",
        ),
        (errors.BadQuery("limit", "is from 1 to 9"), "limit: is from 1 to 9"),
        (errors.BadTranscript("a.sse", "is empty"), "a.sse: is empty"),
        (errors.BadTranscript("a.sse", "is odd", line=4), "a.sse:4: is odd"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_says_in_one_line_what_its_attributes_hold(
    error: RecorderError, message: str
) -> None:
    assert str(error) == message
