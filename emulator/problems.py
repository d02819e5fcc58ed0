"""What is wrong with a request or a definition, in the form fal's endpoints report it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One entry of a 422 answer's ``detail`` list.

    ``kind`` follows the names pydantic 1 used (``value_error.missing``), as fal's answers do.
    """

    loc: Location
    msg: str
    kind: str
    ctx: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def below(self, prefix: Location) -> Problem:
        """The same problem seen from further outside."""
        return Problem(prefix + self.loc, self.msg, self.kind, self.ctx)

    def as_json(self) -> dict[str, Any]:
        """The entry of the ``detail`` list."""
        entry: dict[str, Any] = {"loc": list(self.loc), "msg": self.msg, "type": self.kind}
        if self.ctx:
            entry["ctx"] = dict(self.ctx)
        return entry

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.loc)
        return f"{where}: {self.msg}" if where else self.msg


class Invalid(ValueError):
    """The request or definition cannot be run; ``problems`` says why, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))

    def below(self, prefix: Location) -> Invalid:
        """The same problems seen from further outside."""
        return Invalid(problem.below(prefix) for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The body of a 422 answer."""
        return {"detail": [problem.as_json() for problem in self.problems]}


def invalid(loc: Location, msg: str, kind: str, **ctx: Any) -> Invalid:
    """An `Invalid` with a single problem."""
    return Invalid([Problem(loc, msg, kind, ctx)])
