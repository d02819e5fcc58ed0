"""The flight recorder of fal workflows.

    import recorder

    with recorder.open("sqlite:///runs.db") as rec:
        for event in rec.record(stream, workflow="workflows/fal-ai/sdxl-sticker"):
            ...

Importing this package is light; what it names is loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recorder.bootstrap import Recorder, open, record
    from recorder.errors import RecorderError
    from recorder.events import LoggedEvent
    from recorder.instrumentation import Instrumentation, instrument
    from recorder.projections.state import Run
    from recorder.projections.steps import Step
    from recorder.store.views import RunFilter

__all__ = [
    "Instrumentation",
    "LoggedEvent",
    "Recorder",
    "RecorderError",
    "Run",
    "RunFilter",
    "Step",
    "instrument",
    "open",
    "record",
]

_HOMES = {
    "Instrumentation": "recorder.instrumentation",
    "LoggedEvent": "recorder.events",
    "Recorder": "recorder.bootstrap",
    "RecorderError": "recorder.errors",
    "Run": "recorder.projections.state",
    "RunFilter": "recorder.store.views",
    "Step": "recorder.projections.steps",
    "instrument": "recorder.instrumentation",
    "open": "recorder.bootstrap",
    "record": "recorder.bootstrap",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'recorder' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
