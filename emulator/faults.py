"""Drawing from the configured latencies and error rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import assert_never

from emulator.apps.call import StepError
from emulator.settings import (
    AppFaults,
    Faults,
    FixedLatency,
    Latency,
    LognormalLatency,
    UniformLatency,
)

_LONGEST_S = 86_400.0


@dataclass(frozen=True)
class StepFaults:
    """What was drawn for one step."""

    latency_s: float
    error: StepError | None


def step_random(faults: Faults, run_number: int, node_id: str) -> Random:
    """A generator for one step, so that parallel steps do not disturb each other's draws."""
    if faults.seed is None:
        return Random()  # noqa: S311 - simulated latencies, not secrets
    return Random(f"{faults.seed:x}/{run_number}/{node_id!a}")  # noqa: S311


def draw_step(faults: AppFaults, random: Random) -> StepFaults:
    """Latency first, then error: the order of draws is what a seed repeats."""
    latency_s = 0.0 if faults.latency is None else draw_latency(faults.latency, random)
    return StepFaults(latency_s, _error(faults) if random.random() < faults.error_rate else None)


def draw_latency(latency: Latency, random: Random) -> float:
    """A time in seconds, never longer than a day."""
    match latency:
        case FixedLatency():
            return latency.seconds
        case UniformLatency():
            return random.uniform(latency.low_s, latency.high_s)
        case LognormalLatency():
            drawn = random.lognormvariate(math.log(latency.median_s), latency.sigma)
            return min(drawn, _LONGEST_S)
        case _:
            assert_never(latency)


def _error(faults: AppFaults) -> StepError:
    body = faults.error_body
    return StepError(faults.error_status, {"detail": "Injected error"} if body is None else body)
