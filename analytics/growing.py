"""Arrays that come a piece at a time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

_STEP: Final = 4_000_000
"""Beyond this many entries an array grows by as many, so that little of it is in vain."""


class Growing:
    """Puts pieces together as they come.

    Pieces that are joined at the end take twice the memory, and the allocator gives small ones back to the
    system late or never. A large array grows without being moved, at least on Linux.

    Args:
        kind: What numpy calls the type of the entries.
    """

    def __init__(self, kind: Any) -> None:
        self._entries = np.empty(0, kind)
        self._filled = 0

    def add(self, piece: Any) -> None:
        """Adds entries at the end."""
        end = self._filled + len(piece)
        room = len(self._entries)
        if end > room:
            self._resize(max(end, min(2 * room, room + _STEP)))
        self._entries[self._filled : end] = piece
        self._filled = end

    def whole(self) -> Any:
        """All of them; nothing can be added any more."""
        self._resize(self._filled)
        return self._entries

    def _resize(self, entries: int) -> None:
        # Nobody else has the array before it is whole.
        self._entries.resize(entries, refcheck=False)
