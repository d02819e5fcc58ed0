"""Arrays that come a piece at a time."""

from __future__ import annotations

import numpy as np
import pytest

from analytics import growing
from analytics.growing import Growing


def test_pieces_of_any_length_make_one_array_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growing, "_STEP", 4)
    for lengths in ([], [0], [1], [3, 0, 1, 9, 2], [1] * 30):
        entries, whole = np.arange(sum(lengths)), Growing(np.int64)
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            whole.add(entries[end - length : end])
        assert whole.whole().tolist() == entries.tolist()


def test_the_type_is_the_one_that_was_asked_for() -> None:
    assert [Growing(kind).whole().dtype for kind in (np.uint16, np.int64)] == [np.uint16, np.int64]
