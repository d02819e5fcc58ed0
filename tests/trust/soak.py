"""How long the tests go on: `make soak` sets `RECORDER_SOAK=1`."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = os.environ.get("RECORDER_SOAK") == "1"


def rounds(usual: int, soak: int) -> int:
    """How often to try something that goes wrong rarely."""
    return soak if SOAK else usual
