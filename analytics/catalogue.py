"""All questions by name."""

from __future__ import annotations

from typing import Final

from analytics.question import Asking
from analytics.questions.concurrency import Concurrency, Load
from analytics.questions.cost import Cost
from analytics.questions.extremes import Slowest, Unusual
from analytics.questions.failures import Errors
from analytics.questions.heatmap import Heatmap
from analytics.questions.latency import FirstEvent, Latency
from analytics.questions.outputs import ImageSizes, Outputs, RepeatedInputs, RepeatedSeeds
from analytics.questions.paths import CriticalPath, RunPath, TimeSpent
from analytics.questions.throughput import Throughput

QUESTIONS: Final[tuple[type[Asking], ...]] = (
    Latency,
    FirstEvent,
    Throughput,
    Concurrency,
    Load,
    Errors,
    TimeSpent,
    CriticalPath,
    RunPath,
    Heatmap,
    Slowest,
    Unusual,
    Outputs,
    ImageSizes,
    RepeatedInputs,
    RepeatedSeeds,
    Cost,
)
"""In the order in which they are listed."""
