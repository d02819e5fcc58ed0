"""The apps an emulator can execute: three that do real image work, a placeholder for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from emulator.apps.call import Call, StepError
from emulator.apps.drawing import fast_sdxl
from emulator.apps.placeholder import placeholder
from emulator.apps.rembg import rembg
from emulator.apps.sticker import face_to_sticker

App: TypeAlias = Callable[[Call], dict[str, Any]]
"""Does the work of one step, in a worker thread. Raises `Invalid` or `StepError`."""

REAL_APPS: dict[str, App] = {
    "fal-ai/fast-sdxl": fast_sdxl,
    "fal-ai/imageutils/rembg": rembg,
    "fal-ai/face-to-sticker": face_to_sticker,
}

__all__ = ["REAL_APPS", "App", "Call", "StepError", "find_app"]


def find_app(app_id: str) -> App:
    """The app of that id, or the placeholder."""
    return REAL_APPS.get(app_id, placeholder)
