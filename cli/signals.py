"""Having a request to terminate end a command in order, as Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into KeyboardInterrupt within the block."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = [(name, signal.signal(name, leave)) for name in (signal.SIGTERM, signal.SIGHUP)]
    except ValueError:  # not in the main thread: no signal comes there
        before = []
    try:
        yield
    finally:
        for name, handler in before:
            signal.signal(name, handler)
