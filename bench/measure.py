"""How we measure: sides take turns, each round anew, and the medians are compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

import msgspec

Side = Callable[[], float]
"""Does the work once and returns the figure: a rate (higher is better) or a latency."""


class Result(msgspec.Struct):
    """What a comparison found.

    Attributes:
        name: What was measured.
        unit: Of the medians.
        medians: By side; the first side is ours.
        goals: By other side, the least ratio of ours to it that we want.
        rounds: How often each side ran.
    """

    name: str
    unit: str
    medians: dict[str, float]
    goals: dict[str, float]
    rounds: int

    @property
    def ratios(self) -> dict[str, float]:
        """Ours over each other side."""
        ours, *others = self.medians
        return {name: self.medians[ours] / self.medians[name] for name in others}


def compare(
    name: str,
    unit: str,
    sides: Mapping[str, Side],
    *,
    goals: Mapping[str, float] | None = None,
    rounds: int = 5,
) -> Result:
    """Runs the sides in turns, `rounds` times, after one round that does not count."""
    figures: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, work in sides.items():
            figure = work()
            if number:
                figures[side].append(figure)
    medians = {side: statistics.median(values) for side, values in figures.items()}
    return Result(name, unit, medians, dict(goals or {}), rounds)


def as_lines(result: Result) -> list[str]:
    """The result for people."""
    lines = [f"{result.name}  [{result.unit}, median of {result.rounds}]"]
    ratios = result.ratios
    for side, median in result.medians.items():
        ratio = f"   ours is {ratios[side]:.2f} x" if side in ratios else ""
        goal = f" (goal {result.goals[side]:g} x)" if side in result.goals else ""
        lines.append(f"    {side:<34}{median:>12,.1f}{ratio}{goal}")
    return lines
