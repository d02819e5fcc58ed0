"""How long the tests go on: `make soak` sets `RECORDER_SOAK=1`."""

from __future__ import annotations

import os


def rounds(usual: int, soak: int) -> int:
    """How often to try something that goes wrong rarely."""
    return soak if os.environ.get("RECORDER_SOAK") == "1" else usual
